//! A table of the file, read field by field, every mistake reported where it stands.

use std::collections::HashMap;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{ModelError, Name};

use super::nearest::nearest;
use super::problem::{Place, Placed, Report};

/// A table of the file.
pub(super) struct Table<'t> {
    fields: &'t DeTable<'t>,
    pub(super) place: Place,
}

impl<'t> Table<'t> {
    pub(super) fn root(document: &'t Spanned<DeTable<'t>>) -> Self {
        Self { fields: document.get_ref(), place: Place { field: String::new(), offset: 0 } }
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    pub(super) fn refuse_unknown(&self, known: &[&str], report: &mut Report<'_>) {
        for key in self.fields.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let place = Place { field: self.path(name), offset: key.span().start };
            let hint =
                nearest(name, known).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            report.add(&place, format!("unknown field; {hint}allowed: {}", known.join(", ")));
        }
    }

    /// The field's value from its text; absent if the field is, or if the text is refused.
    pub(super) fn parse<T: FromStr<Err = ModelError>>(
        &self,
        field: &str,
        report: &mut Report<'_>,
    ) -> Option<Placed<T>> {
        let Placed { value, place } = self.text(field, report)?;
        placed(value.parse(), place, report)
    }

    /// The field's text; absent if the field is, or if it is no text.
    pub(super) fn text(&self, field: &str, report: &mut Report<'_>) -> Option<Placed<&'t str>> {
        let (value, place) = self.value(field)?;
        let DeValue::String(text) = value else {
            report.add(&place, format!("expected a string, found {}", kind(value)));
            return None;
        };
        Some(Placed { value: text.as_ref(), place })
    }

    /// As [`Self::parse`]; a field that is absent is reported with `what` it should be.
    pub(super) fn require<T: FromStr<Err = ModelError>>(
        &self,
        field: &str,
        what: &str,
        report: &mut Report<'_>,
    ) -> Option<Placed<T>> {
        self.require_field(field, what, report);
        self.parse(field, report)
    }

    /// Reports a field that is absent, with `what` it should be.
    pub(super) fn require_field(&self, field: &str, what: &str, report: &mut Report<'_>) {
        if !self.has(field) {
            let place = Place { field: self.path(field), offset: self.place.offset };
            report.add(&place, format!("missing: {what}"));
        }
    }

    /// As [`Self::parse`]; a field that is absent has its default value.
    pub(super) fn parse_or<T: FromStr<Err = ModelError>>(
        &self,
        field: &str,
        default: T,
        report: &mut Report<'_>,
    ) -> Option<T> {
        if !self.has(field) {
            return Some(default);
        }
        self.parse(field, report).map(|found| found.value)
    }

    /// As [`Self::parse`], of a field that may be written as a number too.
    pub(super) fn parse_number<T: FromStr<Err = ModelError>>(
        &self,
        field: &str,
        report: &mut Report<'_>,
    ) -> Option<Placed<T>> {
        self.parse_number_with(field, str::parse, report)
    }

    /// As [`Self::parse_number`], of a value whose text `parse` reads.
    pub(super) fn parse_number_with<T>(
        &self,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, ModelError>,
        report: &mut Report<'_>,
    ) -> Option<Placed<T>> {
        let (value, place) = self.value(field)?;
        match value {
            DeValue::String(text) => placed(parse(text), place, report),
            DeValue::Integer(number) => {
                // Hexadecimal and signed forms become plain; what is too large is refused as it stands.
                let plain = i64::from_str_radix(number.as_str(), number.radix());
                let text = plain.map_or_else(|_| number.to_string(), |number| number.to_string());
                placed(parse(&text), place, report)
            }
            other => {
                report.add(&place, format!("expected a string or an integer, found {}", kind(other)));
                None
            }
        }
    }

    /// Whether the field is true; false where it is absent.
    pub(super) fn flag(&self, field: &str, report: &mut Report<'_>) -> bool {
        match self.value(field) {
            None => false,
            Some((DeValue::Boolean(value), _)) => *value,
            Some((other, place)) => {
                report.add(&place, format!("expected true or false, found {}", kind(other)));
                false
            }
        }
    }

    /// The texts of an array of strings; none if the field is absent.
    pub(super) fn texts(&self, field: &str, report: &mut Report<'_>) -> Vec<Placed<&'t str>> {
        let Some((value, place)) = self.value(field) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value else {
            report.add(&place, format!("expected an array of strings, found {}", kind(value)));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (item, place) in placed_items(items, &place) {
            match item {
                DeValue::String(text) => texts.push(Placed { value: text.as_ref(), place }),
                other => report.add(&place, format!("expected a string, found {}", kind(other))),
            }
        }
        texts
    }

    /// The tables of an array of tables; none if the field is absent.
    pub(super) fn tables(&self, field: &str, report: &mut Report<'_>) -> Vec<Table<'t>> {
        let Some((value, place)) = self.value(field) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value else {
            let header = without_indexes(&place.field);
            let found = kind(value);
            report.add(&place, format!("expected tables headed `[[{header}]]`, found {found}"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (item, place) in placed_items(items, &place) {
            match item {
                DeValue::Table(fields) => tables.push(Table { fields, place }),
                other => report.add(&place, format!("expected a table, found {}", kind(other))),
            }
        }
        tables
    }

    /// Where the field's value stands.
    pub(super) fn place(&self, field: &str) -> Option<Place> {
        self.value(field).map(|(_, place)| place)
    }

    fn value(&self, field: &str) -> Option<(&'t DeValue<'t>, Place)> {
        let value = self.fields.get(field)?;
        let place = Place { field: self.path(field), offset: value.span().start };
        Some((value.get_ref(), place))
    }

    fn path(&self, field: &str) -> String {
        if self.place.field.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place.field) }
    }
}

/// Refuses names that are not unique; `rule` says among what they should be.
pub(super) fn refuse_duplicates<'n>(
    names: impl Iterator<Item = &'n Placed<Name>>,
    rule: &str,
    report: &mut Report<'_>,
) {
    let mut seen: HashMap<&Name, &Place> = HashMap::new();
    for name in names {
        if let Some(first) = seen.get(&name.value) {
            let (field, line) = (&first.field, report.line(first));
            let reason = format!("`{}` is already {field} (line {line}); {rule}", name.value);
            report.add(&name.place, reason);
        } else {
            seen.insert(&name.value, &name.place);
        }
    }
}

fn placed<T>(parsed: Result<T, ModelError>, place: Place, report: &mut Report<'_>) -> Option<Placed<T>> {
    match parsed {
        Ok(value) => Some(Placed { value, place }),
        Err(error) => {
            report.add(&place, error.to_string());
            None
        }
    }
}

fn placed_items<'t>(
    items: &'t [Spanned<DeValue<'t>>],
    place: &Place,
) -> impl Iterator<Item = (&'t DeValue<'t>, Place)> {
    items.iter().enumerate().map(|(index, item)| {
        let place = Place { field: format!("{}[{index}]", place.field), offset: item.span().start };
        (item.get_ref(), place)
    })
}

/// The value's type with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// The header under which TOML writes the tables at a path: `vpc.subnet` for `vpc[0].subnet`.
fn without_indexes(path: &str) -> String {
    let parts = path.split('.').map(|part| part.split('[').next().unwrap_or(part));
    parts.collect::<Vec<_>>().join(".")
}
