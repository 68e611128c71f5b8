//! The page.

use std::collections::BTreeMap;

use super::{
    Card, Gallery, MethodResults, RunResults, cost, curve, published,
    table::{ClassRow, Row, class_rows, columns, is_best, percent, protocols, rows, title},
};
use crate::eval::{Metric, Protocol, Share, VerdictCounts};

const STYLE: &str = include_str!("style.css");
/// More failures or oddities than these are counted only.
const LINES_SHOWN: usize = 200;
/// Columns of words, which stand to the left.
const TEXTS: [&str; 4] = ["Data", "Source", "Reason", "Files"];

/// Text as it may stand in an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

pub(super) fn page(results: &RunResults, gallery: &Gallery) -> String {
    let heading = if results.about.dataset.is_empty() { "Evaluation" } else { results.about.dataset.as_str() };
    let protocols = protocols(results);
    let sections: String = protocols.iter().enumerate().map(|(index, protocol)| section(results, protocol, index)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{0} · anomalygpt</title><style>{STYLE}</style></head><body><header><p class=\"kind\">anomalygpt evaluation</p>\
         <h1>{0}</h1>{1}</header>{2}<main>{sections}{3}</main></body></html>\n",
        escape(heading),
        facts(results),
        navigation(&protocols, gallery, results),
        [
            verdicts(results),
            costs(results),
            published_rows(results),
            pictures(gallery),
            failures(results),
            problems(&results.about.problems),
            normals(results)
        ]
        .concat()
    )
}

fn facts(results: &RunResults) -> String {
    let about = &results.about;
    let mut facts = vec![("Model", about.model.clone()), ("Device", about.device.clone()), ("Seed", about.seed.to_string())];
    facts.push(("Crate", format!("anomalygpt {}", about.crate_version)));
    facts.extend(about.notes.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let fact = |(name, value): &(&str, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    let facts: String = facts.iter().filter(|(_, value)| !value.is_empty()).map(fact).collect();
    let command = if about.command.is_empty() { String::new() } else { format!("<pre>{}</pre>", escape(&about.command)) };
    format!("<dl class=\"facts\">{facts}</dl>{command}")
}

fn navigation(protocols: &[&Protocol], gallery: &Gallery, results: &RunResults) -> String {
    let mut links: Vec<(String, String)> =
        protocols.iter().enumerate().map(|(index, protocol)| (format!("protocol-{index}"), protocol.name.to_string())).collect();
    let mut more = |there: bool, target: &str, name: &str| {
        if there {
            links.push((target.to_owned(), name.to_owned()));
        }
    };
    more(!gallery.misses.is_empty(), "miss-1", "The worst mistake");
    more(!gallery.misses.is_empty(), "misses", "Worst misses");
    more(!gallery.hits.is_empty(), "hits", "Best hits");
    more(results.methods.iter().any(|method| method.cost().is_some()), "cost", "Time and memory");
    more(!results.published.is_empty(), "published", "Published");
    more(!failed(results).is_empty(), "failures", "Not evaluated");
    more(!results.about.problems.is_empty(), "problems", "The data set");
    let links: String = links.iter().map(|(target, name)| format!("<a href=\"#{target}\">{}</a>", escape(name))).collect();
    format!("<nav>{links}</nav>")
}

fn section(results: &RunResults, protocol: &Protocol, index: usize) -> String {
    let rows = rows(results, protocol);
    let columns = columns(protocol, rows.iter().map(|row| &row.mean));
    let starts_group = |index: usize| index > 0 && rows[index - 1].method.shots != rows[index].method.shots;
    let body: String = rows.iter().enumerate().map(|(index, row)| summary_row(&rows, row, &columns, starts_group(index))).collect();
    format!(
        "<section id=\"protocol-{index}\"><h2>{}</h2><p class=\"note\">{}. Percentages; mean ± deviation over rounds; the best of equal \
         numbers of normal images is bold.</p>{}{}{}</section>",
        escape(&protocol.name),
        escape(&capitalized(&protocol.description())),
        table(&["Method", "Normals", "Rounds"], &columns, &body),
        curve::figures(results, protocol),
        all_classes(&rows, protocol, &columns)
    )
}

/// Tables by class; of a single class only the first, since the others would repeat the summary.
fn all_classes(rows: &[Row<'_>], protocol: &Protocol, columns: &[Metric]) -> String {
    let single = rows.iter().all(|row| class_rows(row.method, protocol).len() < 2);
    let shown = if single { rows.len().min(1) } else { rows.len() };
    rows.iter().take(shown).enumerate().map(|(index, row)| classes(row.method, protocol, columns, index == 0)).collect()
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn table(first: &[&str], columns: &[Metric], body: &str) -> String {
    let class = |name: &&str| if TEXTS.contains(name) { " class=\"text\"" } else { "" };
    let first: String = first.iter().map(|name| format!("<th scope=\"col\"{}>{name}</th>", class(name))).collect();
    let columns: String = columns.iter().map(|metric| format!("<th scope=\"col\">{}</th>", metric.name())).collect();
    format!("<div class=\"scroll\"><table><thead><tr>{first}{columns}</tr></thead><tbody>{body}</tbody></table></div>")
}

fn summary_row(rows: &[Row<'_>], row: &Row<'_>, columns: &[Metric], starts_group: bool) -> String {
    let cell = |&metric: &Metric| {
        let class = if is_best(rows, row, metric) { " class=\"best\"" } else { "" };
        format!("<td{class}>{}</td>", with_deviation(&row.cell(metric)))
    };
    let cells: String = columns.iter().map(cell).collect();
    let MethodResults { method, shots, rounds } = row.method;
    let group = if starts_group { " class=\"group\"" } else { "" };
    format!("<tr{group}><th scope=\"row\">{}</th><td>{shots}</td><td>{}</td>{cells}</tr>", escape(method), rounds.len())
}

fn classes(method: &MethodResults, protocol: &Protocol, columns: &[Metric], open: bool) -> String {
    let row = |row: &ClassRow<'_>| {
        let cells: String = columns.iter().map(|&metric| format!("<td>{}</td>", percent(row.scores.get(metric)))).collect();
        let ClassRow { normal, anomalous, without_pixels, .. } = row;
        let class = escape(row.class);
        format!("<tr><th scope=\"row\">{class}</th><td>{normal}</td><td>{anomalous}</td><td>{without_pixels}</td>{cells}</tr>")
    };
    let body: String = class_rows(method, protocol).iter().map(row).collect();
    format!(
        "<details{}><summary>Classes: {}</summary>{}</details>",
        if open { " open" } else { "" },
        escape(&title(method)),
        table(&["Class", "Normal", "Anomalous", "Without pixels"], columns, &body)
    )
}

/// Verdicts of each method's first round; further rounds judge the same photographs again.
fn verdicts(results: &RunResults) -> String {
    let counts = |method: &MethodResults| method.rounds.first()?.protocols.first().map(|results| results.verdicts);
    let row = |method: &MethodResults| {
        let counts = counts(method).filter(|counts| counts.good + counts.bad > 0)?;
        let cells = [counts.accuracy(), counts.rejection_rate(), counts.miss_rate()].map(|share| format!("<td>{}</td>", interval(share)));
        let VerdictCounts { good, bad, .. } = counts;
        let (name, shots) = (escape(&method.method), method.shots);
        Some(format!("<tr><th scope=\"row\">{name}</th><td>{shots}</td><td>{good}</td><td>{bad}</td>{}</tr>", cells.concat()))
    };
    let body: String = results.methods.iter().filter_map(row).collect();
    if body.is_empty() {
        return body;
    }
    let heading = ["Method", "Normals", "Good parts", "Bad parts", "Right", "Good rejected", "Bad passed"];
    format!(
        "<section id=\"verdicts\"><h2>Verdicts in words</h2><p class=\"note\">All classes of the first round. In brackets: the interval that \
         holds the true share with a confidence of 95 % (Wilson).</p>{}</section>",
        table(&heading, &[], &body)
    )
}

fn interval(share: Option<Share>) -> String {
    share.map_or_else(
        || "–".into(),
        |Share { value, low, high }| {
            format!("{:.1} <span class=\"interval\">[{:.1}, {:.1}]</span>", 100.0 * value, 100.0 * low, 100.0 * high)
        },
    )
}

fn costs(results: &RunResults) -> String {
    let row = |(method, cells): (&MethodResults, [String; 5])| {
        let cells = cells.map(|cell| format!("<td>{cell}</td>")).concat();
        format!("<tr><th scope=\"row\">{}</th><td>{}</td>{cells}</tr>", escape(&method.method), method.shots)
    };
    let body: String = cost::rows(results).into_iter().map(row).collect();
    if body.is_empty() {
        return body;
    }
    let heading: Vec<&str> = ["Method", "Normals"].into_iter().chain(cost::COLUMNS).collect();
    let table = table(&heading, &[], &body);
    format!("<section id=\"cost\"><h2>Time and memory</h2><p class=\"note\">{}</p>{table}</section>", escape(cost::NOTE))
}

fn published_rows(results: &RunResults) -> String {
    if results.published.is_empty() {
        return String::new();
    }
    let metrics = published::metrics(&results.published);
    let row = |row: &published::PublishedResults| {
        let [method, dataset, shots, source] = row.cells().map(|text| escape(&text));
        let values: String = metrics.iter().map(|&metric| format!("<td>{}</td>", with_deviation(&row.cell(metric)))).collect();
        format!(
            "<tr><th scope=\"row\">{method}</th><td class=\"text\">{dataset}</td><td>{shots}</td><td class=\"text\">{source}</td>{values}</tr>"
        )
    };
    let body: String = results.published.iter().map(row).collect();
    let heading = published::COLUMNS.map(capitalized);
    let table = table(&heading.each_ref().map(String::as_str), &metrics, &body);
    format!("<section id=\"published\"><h2>{}</h2><p class=\"note\">{}</p>{table}</section>", published::TITLE, published::NOTE)
}

/// "12.3 ± 0.4" with its second part small.
fn with_deviation(cell: &str) -> String {
    cell.split_once(' ').map_or_else(|| cell.to_owned(), |(value, deviation)| format!("{value} <small>{deviation}</small>"))
}

fn pictures(gallery: &Gallery) -> String {
    let section = |id: &str, card_id: &str, name: &str, what: &str, cards: &[Card]| {
        if cards.is_empty() {
            return String::new();
        }
        let caption = if gallery.caption.is_empty() { String::new() } else { format!(" {}.", escape(&gallery.caption)) };
        let cards: String = (1..).zip(cards).map(|(number, picture)| card(picture, card_id, number)).collect();
        format!("<section id=\"{id}\"><h2>{name}</h2><p class=\"note\">{what}{caption}</p><div class=\"cards\">{cards}</div></section>")
    };
    section("misses", "miss", "Worst misses", "The worst first; a heat map without colour: nothing was found.", &gallery.misses)
        + &section("hits", "hit", "Best hits", "The clearest first.", &gallery.hits)
}

fn card(card: &Card, id: &str, number: usize) -> String {
    let result = &card.result;
    let picture = |(name, source): (&str, &str)| {
        format!("<figure><img alt=\"{name} of {}\" src=\"{source}\"><figcaption>{name}</figcaption></figure>", escape(&result.file))
    };
    let pictures: String = card.pictures().map(picture).collect();
    let (label, other) = if result.anomalous { ("anomalous", "normal") } else { ("normal", "anomalous") };
    let verdict = result.verdict.map(|verdict| format!("<b class=\"{0}\">said {0}</b>", verdict.name())).unwrap_or_default();
    let probability = result.probability.map(|probability| format!(" with probability {probability:.2} of “Yes”")).unwrap_or_default();
    let answer = result.answer.as_deref().map(|answer| format!("<blockquote>{}</blockquote>", escape(answer))).unwrap_or_default();
    format!(
        "<article id=\"{id}-{number}\"><h3>{number}. {}</h3><div class=\"pictures\">{pictures}</div><p>{}<b>is {label}</b>{}{verdict}{probability}. \
         Score {:.3}, on the wrong side of {:.0} % of the {other} images.</p>{answer}</article>",
        escape(&result.file),
        if result.class.is_empty() { String::new() } else { format!("{}, ", escape(&result.class)) },
        if verdict.is_empty() { "" } else { ", " },
        result.score,
        100.0 * card.wrongness
    )
}

/// Files that could not be evaluated with their reasons, and how many rows of the run each is missing in.
fn failed(results: &RunResults) -> BTreeMap<(&str, &str), usize> {
    let mut failed = BTreeMap::new();
    for failure in results.methods.iter().flat_map(|method| &method.rounds).flat_map(|round| &round.failures) {
        *failed.entry((failure.file.as_str(), failure.reason.as_str())).or_default() += 1;
    }
    failed
}

fn failures(results: &RunResults) -> String {
    let failed = failed(results);
    if failed.is_empty() {
        return String::new();
    }
    let row = |((file, reason), count): (&(&str, &str), &usize)| {
        let (file, reason) = (escape(file), escape(reason));
        format!("<tr><th scope=\"row\">{file}</th><td class=\"text\">{reason}</td><td>{count}</td></tr>")
    };
    let body: String = failed.iter().take(LINES_SHOWN).map(row).collect();
    format!(
        "<section id=\"failures\"><h2>Not evaluated</h2><p class=\"note\">Images in all: {}. They count in no number above.</p>{}{}</section>",
        failed.len(),
        table(&["File", "Reason", "Times"], &[], &body),
        more(failed.len())
    )
}

fn problems(problems: &[String]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let lines: String = problems.iter().take(LINES_SHOWN).map(|problem| format!("<li>{}</li>", escape(problem))).collect();
    format!(
        "<section id=\"problems\"><h2>The data set</h2><p class=\"note\">What is odd about it.</p><ul class=\"lines\">{lines}</ul>{}</section>",
        more(problems.len())
    )
}

fn more(count: usize) -> String {
    let more = count.saturating_sub(LINES_SHOWN);
    if more > 0 { format!("<p class=\"note\">And {more} more.</p>") } else { String::new() }
}

/// Which normal images were given, once a number of them and round.
fn normals(results: &RunResults) -> String {
    let mut rounds: BTreeMap<(u32, u32), &[String]> = BTreeMap::new();
    for method in &results.methods {
        rounds.extend(method.rounds.iter().map(|round| ((method.shots, round.round), round.normals.as_slice())));
    }
    rounds.retain(|_, normals| !normals.is_empty());
    if rounds.is_empty() {
        return String::new();
    }
    let row = |((shots, round), normals): (&(u32, u32), &&[String])| {
        format!("<tr><th scope=\"row\">{shots}</th><td>{round}</td><td class=\"text\">{}</td></tr>", escape(&normals.join(", ")))
    };
    let body: String = rounds.iter().map(row).collect();
    let table = table(&["Normals", "Round", "Files"], &[], &body);
    format!(
        "<section id=\"normals\"><h2>Normal images</h2><details><summary>Which were given in each round</summary>{table}</details></section>"
    )
}
