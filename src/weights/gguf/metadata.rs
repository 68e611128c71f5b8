//! What a GGUF file says about itself.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    error::{Error, Result},
    weights::Fault,
};

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// Values of one type.
    List(Vec<Value>),
}

/// Values by key; a missing one, or one of another type, is an error with the file and the key.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub(super) file: PathBuf,
    pub(super) values: BTreeMap<String, Value>,
}

impl Metadata {
    /// A value, where there is one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A text.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(self.unfit(key, "a text", other)),
        }
    }

    /// An integer that is not negative.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn number(&self, key: &str) -> Result<usize> {
        let found = match self.get(key) {
            Some(Value::Unsigned(number)) => usize::try_from(*number).ok(),
            Some(Value::Signed(number)) => usize::try_from(*number).ok(),
            _ => None,
        };
        found.ok_or_else(|| self.unfit(key, "a number", self.get(key)))
    }

    /// A float.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn float(&self, key: &str) -> Result<f64> {
        match self.get(key) {
            Some(Value::Float(float)) => Ok(*float),
            other => Err(self.unfit(key, "a float", other)),
        }
    }

    /// True or false; `default` where nothing is said.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            other => Err(self.unfit(key, "true or false", other)),
        }
    }

    /// A list.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn list(&self, key: &str) -> Result<&[Value]> {
        match self.get(key) {
            Some(Value::List(list)) => Ok(list),
            other => Err(self.unfit(key, "a list", other)),
        }
    }

    /// A list of texts.
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let text = |value: &'_ Value| matches!(value, Value::Text(_));
        let list = self.list(key)?;
        if !list.iter().all(text) {
            return Err(self.unfit(key, "a list of texts", self.get(key)));
        }
        Ok(list.iter().filter_map(|value| if let Value::Text(text) = value { Some(text.as_str()) } else { None }).collect())
    }

    /// An error about what the file says.
    pub(crate) fn malformed(&self, reason: String) -> Error {
        Error::checkpoint(&self.file, Fault::Malformed(reason.into()))
    }

    fn unfit(&self, key: &str, expected: &str, found: Option<&Value>) -> Error {
        let found = match found {
            None => "nothing".to_owned(),
            Some(Value::List(list)) => format!("a list of {}", list.len()),
            Some(Value::Text(text)) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
            Some(value) => format!("{value:?}"),
        };
        self.malformed(format!("its metadata has {found} as `{key}`, where {expected} is needed"))
    }
}
