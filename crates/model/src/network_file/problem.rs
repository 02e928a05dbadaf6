//! What is wrong with a network file, and where.

use std::fmt;

/// One thing that is wrong with a network file. Shown as `file:line:column: field: reason`, which editors follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user called it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of the field, `vpc[0].subnet[1].zone`; empty for a mistake in the syntax.
    pub field: String,
    /// What is wrong and what is allowed.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

/// A network file is refused. Shown as its problems, a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct NetworkFileError {
    problems: Vec<Problem>,
}

impl NetworkFileError {
    /// What is wrong with a file, if anything is.
    ///
    /// # Errors
    /// There is a problem.
    pub fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Err(Self { problems })
    }

    /// All that is wrong, in the file's order; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// A text of the file that others read, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    file: String,
    line: usize,
    column: usize,
    field: String,
}

impl Written {
    /// What is wrong with it, where it stands.
    pub fn problem(&self, reason: &str) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            field: self.field.clone(),
            reason: printable(reason),
        }
    }
}

/// The items, a line each.
pub(crate) fn lines<T: ToString>(items: &[T]) -> String {
    let lines: Vec<String> = items.iter().map(T::to_string).collect();
    lines.join("\n")
}

/// Where a value stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The path of the field.
    pub(super) field: String,
    /// The byte offset in the text.
    pub(super) offset: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Placed<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Placed<U> {
        Placed { value: change(self.value), place: self.place }
    }
}

/// Collects the problems of one file.
pub(super) struct Report<'t> {
    text: &'t str,
    file: &'t str,
    /// The byte offset at which each line starts.
    line_starts: Vec<usize>,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str, file: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            text,
            file,
            line_starts: std::iter::once(0).chain(after_breaks).collect(),
            problems: Vec::new(),
        }
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.line_starts.partition_point(|start| *start <= place.offset)
    }

    pub(super) fn add(&mut self, place: &Place, reason: impl AsRef<str>) {
        let written = self.written(Placed { value: String::new(), place: place.clone() });
        self.problems.push(written.problem(reason.as_ref()));
    }

    /// Adds what somebody else has found.
    pub(super) fn extend(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// A text and where it stands, for others to read.
    pub(super) fn written(&self, text: Placed<String>) -> Written {
        let place = &text.place;
        let line = self.line(place);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..place.offset).unwrap_or_default();
        Written {
            file: self.file.to_owned(),
            line,
            column: before.chars().count() + 1,
            field: printable(&place.field),
            text: text.value,
        }
    }

    /// The error of a file that isn't TOML.
    pub(super) fn syntax_error(mut self, error: &toml::de::Error) -> NetworkFileError {
        let place = Place { field: String::new(), offset: error.span().map_or(0, |span| span.start) };
        self.add(&place, format!("this is not TOML: {}", error.message()));
        NetworkFileError { problems: self.problems }
    }

    /// The value, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, NetworkFileError> {
        NetworkFileError::unless_empty(self.problems).map(|()| value)
    }
}

/// The text with control characters escaped: a problem is one line, and leaves the reader's terminal alone.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}
