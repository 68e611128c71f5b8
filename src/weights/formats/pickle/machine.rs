//! The stack machine that reads a pickle.

use std::collections::HashMap;

use super::{Global, Id, Pickle, Storage, Tensor, Value, opcode};
use crate::weights::Fault;

/// Most values that a pickle may build; ImageBind's, of 1,311 tensors, builds some 25,000.
const MAX_VALUES: usize = 1 << 20;

/// Most axes of a tensor, and longest name of a storage: both are copied each time that they are referred to.
const MAX_AXES: usize = 8;
const MAX_STORAGE_NAME: usize = 64;

/// Reads one pickle, and gives what follows it.
pub(in crate::weights::formats) fn read(bytes: &[u8]) -> Result<(Pickle, &[u8]), Fault> {
    let mut machine = Machine { rest: bytes, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new(), copied: 0 };
    loop {
        let [opcode] = machine.array()?;
        if opcode == opcode::STOP {
            let root = machine.pop()?;
            return Ok((Pickle { values: machine.values, root }, machine.rest));
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Pairs that were copied out of lists: a list may be referred to any number of times.
    copied: usize,
}

fn malformed(reason: impl Into<String>) -> Fault {
    Fault::Malformed(format!("its pickle has {}", reason.into()).into())
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            opcode::PROTO => self.array::<1>().map(drop),
            opcode::FRAME => self.array::<8>().map(drop),
            opcode::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            opcode::NONE => self.push(Value::Other),
            opcode::TRUE => self.push(Value::Bool(true)),
            opcode::FALSE => self.push(Value::Bool(false)),
            opcode::BINFLOAT => {
                self.array::<8>()?;
                self.push(Value::Other)
            }
            opcode::BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            opcode::BININT1 | opcode::BININT2 | opcode::LONG1 => self.integer(opcode),
            opcode::BINUNICODE | opcode::SHORT_BINUNICODE | opcode::BINSTRING | opcode::SHORT_BINSTRING => self.string(opcode),
            opcode::EMPTY_TUPLE => self.push(Value::Tuple(vec![])),
            opcode::TUPLE1 | opcode::TUPLE2 | opcode::TUPLE3 => self.short_tuple(usize::from(opcode - opcode::TUPLE1) + 1),
            opcode::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))
            }
            opcode::EMPTY_LIST => self.push(Value::List(vec![])),
            opcode::EMPTY_DICT => self.push(Value::Dict(vec![])),
            opcode::APPEND | opcode::APPENDS => self.append(opcode == opcode::APPENDS),
            opcode::SETITEM | opcode::SETITEMS => self.set_items(opcode == opcode::SETITEMS),
            opcode::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::named(&module, &name)?))
            }
            opcode::STACK_GLOBAL => self.stack_global(),
            opcode::REDUCE => self.reduce(),
            opcode::BUILD => self.build(),
            opcode::BINPERSID => self.persistent(),
            opcode::BINPUT | opcode::LONG_BINPUT | opcode::MEMOIZE => self.put(opcode),
            opcode::BINGET | opcode::LONG_BINGET => self.get(opcode),
            other => Err(Fault::PickleOpcode(other)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| malformed("an end before its last opcode"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed("an end before its last opcode"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length of one byte or of four.
    fn length(&mut self, long: bool) -> Result<usize, Fault> {
        Ok(if long { u32::from_le_bytes(self.array()?) as usize } else { u8::from_le_bytes(self.array()?).into() })
    }

    fn line(&mut self) -> Result<String, Fault> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| malformed("a name without an end"))?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.values.len() >= MAX_VALUES {
            return Err(malformed(format!("more than {MAX_VALUES} values")));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    fn pop(&mut self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or_default();
        self.stack.pop().filter(|_| self.stack.len() >= floor).ok_or_else(|| malformed("too few values on its stack"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| malformed("no mark on its stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<&mut Value, Fault> {
        let id = self.stack.last().copied().unwrap_or(usize::MAX);
        self.values.get_mut(id).ok_or_else(|| malformed("too few values on its stack"))
    }

    fn integer(&mut self, opcode: u8) -> Result<(), Fault> {
        let bytes = match opcode {
            opcode::BININT1 => return self.array().and_then(|bytes| self.push(Value::Int(u8::from_le_bytes(bytes).into()))),
            opcode::BININT2 => return self.array().and_then(|bytes| self.push(Value::Int(u16::from_le_bytes(bytes).into()))),
            _ => {
                let length = self.length(false)?;
                self.take(length)?
            }
        };
        if bytes.len() > 8 {
            return self.push(Value::Bytes(bytes.to_vec()));
        }
        let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
        let mut padded = [sign; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(padded)))
    }

    fn string(&mut self, opcode: u8) -> Result<(), Fault> {
        let length = self.length(matches!(opcode, opcode::BINUNICODE | opcode::BINSTRING))?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| malformed("a text that is not UTF-8"))?;
        self.push(Value::Text(text.into()))
    }

    fn short_tuple(&mut self, count: usize) -> Result<(), Fault> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, many: bool) -> Result<(), Fault> {
        let items = if many { self.pop_to_mark()? } else { vec![self.pop()?] };
        match self.top()? {
            Value::List(list) => list.extend(items),
            _ => return Err(malformed("items for what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, many: bool) -> Result<(), Fault> {
        let items = if many {
            self.pop_to_mark()?
        } else {
            let value = self.pop()?;
            vec![self.pop()?, value]
        };
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Value::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(malformed("items for what is no dictionary")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), Fault> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.values.get(module), self.values.get(name)) {
            (Some(Value::Text(module)), Some(Value::Text(name))) => {
                let global = Global::named(module, name)?;
                self.push(Value::Global(global))
            }
            _ => Err(malformed("a name that is no text")),
        }
    }

    fn reduce(&mut self) -> Result<(), Fault> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Some(Value::Global(global)), Some(Value::Tuple(arguments))) = (self.values.get(callee), self.values.get(arguments)) else {
            return Err(malformed("a call of what is no name"));
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(vec![])),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.pairs(*pairs)?;
                self.copied += pairs.len();
                if self.copied > MAX_VALUES {
                    return Err(malformed(format!("more than {MAX_VALUES} values")));
                }
                self.push(Value::Dict(pairs))
            }
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(*storage, *offset, *shape, *strides)?;
                self.push(Value::Tensor(tensor))
            }
            // The parameter's data; the size's tuple.
            (Global::RebuildParameter, [same, ..]) | (Global::Size, [same]) => {
                self.stack.push(*same);
                Ok(())
            }
            _ => Err(malformed(format!("a call of {global:?} with {} arguments", arguments.len()))),
        }
    }

    /// Items of a dictionary that is written as a list of pairs.
    fn pairs(&self, list: Id) -> Result<Vec<(Id, Id)>, Fault> {
        let items = |id: Id| match self.values.get(id) {
            Some(Value::List(items) | Value::Tuple(items)) => Some(items.as_slice()),
            _ => None,
        };
        let pair = |id: &Id| match items(*id) {
            Some([key, value]) => Some((*key, *value)),
            _ => None,
        };
        let pairs = items(list).and_then(|list| list.iter().map(pair).collect());
        pairs.ok_or_else(|| malformed("a dictionary of what are no pairs"))
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Tensor, Fault> {
        let Some(Value::Storage(storage)) = self.values.get(storage) else {
            return Err(malformed("a tensor without a storage"));
        };
        let (offset, shape, strides) = (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(malformed("a tensor with other strides than axes"));
        }
        Ok(Tensor { storage: storage.clone(), offset, shape, strides })
    }

    fn size(&self, id: Id) -> Result<usize, Fault> {
        match self.values.get(id) {
            Some(Value::Int(value)) => usize::try_from(*value).map_err(|_| malformed("a negative size")),
            _ => Err(malformed("a size that is no integer")),
        }
    }

    fn sizes(&self, id: Id) -> Result<Vec<usize>, Fault> {
        match self.values.get(id) {
            Some(Value::Tuple(items)) if items.len() <= MAX_AXES => items.iter().map(|item| self.size(*item)).collect(),
            _ => Err(malformed(format!("a shape that is no tuple of up to {MAX_AXES} integers"))),
        }
    }

    /// Attributes of a dictionary (PyTorch's `_metadata`) are dropped; nothing else may have any.
    fn build(&mut self) -> Result<(), Fault> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err(malformed("attributes for what is no dictionary")),
        }
    }

    /// `("storage", type, key, location, elements)`; the location is of the machine that wrote the file.
    fn persistent(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let items = match self.values.get(id) {
            Some(Value::Tuple(items)) => items.as_slice(),
            _ => &[],
        };
        let ([tag, dtype, key, _, elements] | [tag, dtype, key, _, elements, _]) = items else {
            return Err(malformed("a reference to what is no storage"));
        };
        let view = items.get(5).is_some_and(|view| !matches!(self.values.get(*view), Some(Value::Other)));
        let [tag, dtype, key] = [tag, dtype, key].map(|id| self.values.get(*id));
        match (tag, dtype, key) {
            (Some(Value::Text(tag)), Some(Value::Global(Global::Storage(dtype))), Some(Value::Text(key)))
                if tag == "storage" && key.len() <= MAX_STORAGE_NAME && !view =>
            {
                let storage = Storage { key: key.clone(), dtype: *dtype, elements: self.size(*elements)? };
                self.push(Value::Storage(storage))
            }
            _ => Err(malformed("a reference to what is no storage")),
        }
    }

    fn put(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = match opcode {
            opcode::MEMOIZE => self.memo.len(),
            _ => self.length(opcode == opcode::LONG_BINPUT)?,
        };
        let top = *self.stack.last().ok_or_else(|| malformed("too few values on its stack"))?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = self.length(opcode == opcode::LONG_BINGET)?;
        let id = *self.memo.get(&index).ok_or_else(|| malformed("a reference to what is not there"))?;
        self.stack.push(id);
        Ok(())
    }
}
