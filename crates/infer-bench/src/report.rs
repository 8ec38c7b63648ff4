//! Tables, in the forms in which they are wanted, and where they come from.

use crate::error::{Error, Result};
use crate::figures::Row;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Between these two lines a page holds what [`write_into`] puts there.
pub(crate) type Marks = [&'static str; 2];
/// Those of the benches of this file's tables.
pub(crate) const MARKS: Marks = ["<!-- bench: begin -->", "<!-- bench: end -->"];
/// Above this load average of the last minute other work disturbs.
const CALM: f64 = 3.0;

/// Says how far it is, on stderr.
pub(crate) fn say(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What one bench found.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    /// Which bench.
    pub(crate) name: &'static str,
    /// The figures.
    pub(crate) rows: Vec<Row>,
    verdicts: Vec<Verdict>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    what: &'static str,
    ratio: Option<f64>,
    bar: f64,
    within: bool,
}

impl Verdict {
    fn text(&self) -> String {
        let ratio = self
            .ratio
            .map_or("no figure".to_owned(), |it| format!("{it:.2}× the floor"));
        let word = if self.within { "PASS" } else { "OVER" };
        format!("{word}: {}: {ratio}, bar {:.1}×", self.what, self.bar)
    }
}

impl Table {
    /// An empty one.
    pub(crate) fn new(name: &'static str) -> Table {
        Table {
            name,
            rows: Vec::new(),
            verdicts: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Holds a ratio against a bar.
    pub(crate) fn verdict(&mut self, what: &'static str, ratio: Option<f64>, bar: f64) {
        let within = ratio.is_some_and(|ratio| ratio <= bar);
        self.verdicts.push(Verdict {
            what,
            ratio,
            bar,
            within,
        });
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn cells(&self) -> Vec<[String; 5]> {
        let head = [
            self.name,
            "floor",
            "kubectl-infer",
            "ratio",
            "least to greatest",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        for row in &self.rows {
            let show = |value: Option<f64>| value.map_or(String::new(), |it| row.unit.show(it));
            let [ratio, spread] = row.ratio.map_or([String::new(), String::new()], |it| {
                [
                    format!("{:.2}", it[0]),
                    format!("{:.2} to {:.2}", it[1], it[2]),
                ]
            });
            lines.push([
                row.what.clone(),
                show(row.floor),
                show(row.ours),
                ratio,
                spread,
            ]);
        }
        lines
    }

    fn text(&self) -> String {
        let lines = self.cells();
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths = [0, 1, 2, 3, 4].map(width);
        let mut text = String::new();
        for line in &lines {
            text.push_str(&format!("{:<1$}", line[0], widths[0]));
            for (cell, width) in line.iter().zip(widths).skip(1) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            text.push('\n');
        }
        self.ending(text)
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.cells().iter().enumerate() {
            text.push_str(&format!("| {} |\n", line.join(" | ")));
            if number == 0 {
                text.push_str("|---|---:|---:|---:|---:|\n");
            }
        }
        text.push('\n');
        self.ending(text)
    }

    fn ending(&self, mut text: String) -> String {
        for verdict in &self.verdicts {
            text.push_str(&format!("{}\n", verdict.text()));
        }
        for note in &self.notes {
            text.push_str(&format!("({note})\n"));
        }
        text
    }
}

/// Where and when figures were measured.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    date: String,
    commit: String,
    processor: String,
    cores: usize,
    kernel: String,
    load: String,
    disturbed: bool,
}

impl Setting {
    /// Of this machine, now.
    pub(crate) fn now() -> Setting {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let loads = read("/proc/loadavg");
        let load = loads.split(' ').next().unwrap_or_default().to_owned();
        let days = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            / 86_400;
        Setting {
            date: date(days),
            commit: commit(),
            processor: model.map_or("unknown".to_owned(), |it| {
                it.trim_matches([':', ' ', '\t']).to_owned()
            }),
            // The machine's; we may be bound to one of them.
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count()
                .max(1),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disturbed: load.parse().is_ok_and(|load: f64| load > CALM),
            load,
        }
    }

    /// As a line.
    pub(crate) fn text(&self) -> String {
        let preliminary = if self.disturbed {
            ". Preliminary: other work disturbed"
        } else {
            ""
        };
        format!(
            "{}, commit {}, {} cores ({}), Linux {}, load average before {}{preliminary}",
            self.date, self.commit, self.cores, self.processor, self.kernel, self.load
        )
    }
}

/// What git says of the checkout, where there is one.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(id) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changes = git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    format!("{id}{}", if changes { " with changes" } else { "" })
}

/// The day, of days since 1970 (Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Markdown,
    Json,
}

/// The results as they are printed.
pub(crate) fn render(form: Form, setting: &Setting, tables: &[Table]) -> String {
    match form {
        Form::Json => {
            format!(
                "{:#}\n",
                serde_json::json!({"setting": setting, "benches": tables})
            )
        }
        Form::Text => {
            let tables: Vec<String> = tables.iter().map(Table::text).collect();
            format!("{}\n{}\n", tables.join("\n"), setting.text())
        }
        Form::Markdown => {
            let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
            format!("{}.\n\n{}", setting.text(), tables.join("\n"))
        }
    }
}

/// Puts results between the marks of a page, in place of what was there.
pub(crate) fn write_into(page: &Path, marks: Marks, markdown: &str) -> Result<()> {
    let name = page.display();
    let text = std::fs::read_to_string(page).map_err(Error::io(format!("reading {name}")))?;
    let new = replaced(&text, marks, markdown).ok_or_else(|| {
        Error::Failed(format!(
            "{name} lacks the lines `{}`",
            marks.join("` and `")
        ))
    })?;
    std::fs::write(page, new).map_err(Error::io(format!("writing {name}")))
}

fn replaced(text: &str, marks: Marks, markdown: &str) -> Option<String> {
    let [begin, end] = marks;
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n\n{markdown}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Pair, Unit};

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_697), "2026-09-01");
    }

    #[test]
    fn results_replace_those_before_them() {
        let page = format!("# T\n{}\nold\n{}\nend\n", MARKS[0], MARKS[1]);
        let once = replaced(&page, MARKS, "new\n").unwrap();
        assert_eq!(replaced(&once, MARKS, "new\n").unwrap(), once);
        assert!(once.starts_with("# T\n") && once.ends_with("\nend\n") && !once.contains("old"));
        assert_eq!(replaced("no marks", MARKS, "x"), None);
    }

    #[test]
    fn a_table_has_its_verdict_below() {
        let mut table = Table::new("webhook");
        let rounds = [Some(Pair {
            floor: 50e-6,
            ours: 75e-6,
        })];
        table
            .rows
            .extend(Row::compared("CPU", Unit::Seconds, &rounds));
        table.verdict("CPU", Some(1.5), 2.0);
        let markdown = table.markdown();
        assert!(
            markdown.contains("| CPU | 50 µs | 75 µs | 1.50 | 1.50 to 1.50 |\n"),
            "{markdown}"
        );
        assert!(markdown.ends_with("PASS: CPU: 1.50× the floor, bar 2.0×\n"));
        table.verdict("CPU", Some(2.1), 2.0);
        assert!(
            table
                .text()
                .ends_with("OVER: CPU: 2.10× the floor, bar 2.0×\n")
        );
    }
}
