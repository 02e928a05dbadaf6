//! The definitions and the page, without an engine.

use std::collections::BTreeSet;

use enid_flowlog::{Field, FieldKind};

use crate::engines::{Folder, judge};
use crate::hosts;
use crate::page::{Piece, definitions, is_question, questions, sections};

/// How an engine calls the types of the files' columns, and quotes the one name that is a word of SQL.
struct Dialect {
    name: &'static str,
    small: &'static str,
    count: &'static str,
    text: &'static str,
    quote: char,
}

const DIALECTS: [Dialect; 4] = [
    Dialect { name: "athena", small: "int", count: "bigint", text: "string", quote: '`' },
    Dialect { name: "trino", small: "integer", count: "bigint", text: "varchar", quote: '"' },
    Dialect { name: "spark", small: "int", count: "bigint", text: "string", quote: '`' },
    Dialect {
        name: "clickhouse",
        small: "Nullable(Int32)",
        count: "Nullable(Int64)",
        text: "Nullable(String)",
        quote: '`',
    },
];

impl Dialect {
    /// Every column and its type.
    fn columns(&self) -> String {
        let column = |field: &Field| {
            let name = field.name().replace('-', "_");
            let name = if name == "end" { format!("{0}{name}{0}", self.quote) } else { name };
            let kind = match field.kind() {
                FieldKind::Small => self.small,
                FieldKind::Count => self.count,
                FieldKind::Address | FieldKind::Text => self.text,
            };
            format!("{name} {kind}")
        };
        Field::ALL.iter().map(column).collect::<Vec<_>>().join(", ")
    }
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn tables_have_the_columns_of_the_files() {
    let definitions = definitions();
    for dialect in &DIALECTS {
        for name in [format!("{}.sql", dialect.name), format!("{}-hive.sql", dialect.name)] {
            let text = collapsed(&definitions[&name]);
            assert!(text.contains(&dialect.columns()), "{name} lacks {}", dialect.columns());
        }
    }
}

#[test]
fn the_page_shows_what_the_files_have() {
    let definitions = definitions();
    let mut linked = BTreeSet::new();
    for section in sections() {
        let links = section.pieces.iter().filter_map(|piece| match piece {
            Piece::Link(name) => Some(name.clone()),
            _ => None,
        });
        let links: Vec<_> = links.collect();
        for piece in &section.pieces {
            if let Piece::Sql(text) = piece
                && !is_question(&section)
            {
                let is_shown = links.iter().any(|name| definitions[name].contains(text));
                assert!(is_shown, "{}: no file that is linked has\n{text}", section.heading);
            }
        }
        linked.extend(links);
    }
    assert_eq!(linked, definitions.into_keys().collect());
    assert!(questions().len() >= 6, "{}", questions().len());
}

/// Athena and Trino are not there to be asked: a parser of their dialects is.
#[test]
fn athena_and_trino_definitions_and_queries_parse() {
    let definitions = definitions();
    let partitions = ["aws_account_id", "aws_region", "year", "month", "day", "hour"];
    for (dialect, text) in [("athena", "TEXT"), ("trino", "VARCHAR")] {
        let names = [format!("{dialect}.sql"), format!("{dialect}-hive.sql")];
        let texts: Vec<_> = names.iter().map(|name| (dialect, &*definitions[name])).collect();
        for columns in judge("parse", &texts).as_array().unwrap() {
            let columns: Vec<(String, String)> = serde_json::from_value(columns.clone()).unwrap();
            assert_eq!(columns.len(), Field::ALL.len() + partitions.len());
            let kind = |name: &str| &columns.iter().find(|(column, _)| column == name).unwrap().1;
            assert!(partitions[..2].iter().all(|name| kind(name) == text), "{columns:?}");
            assert!(partitions[2..].iter().all(|name| kind(name) == "INT"), "{columns:?}");
            assert_eq!(kind("end"), "BIGINT");
        }
        let queries: Vec<_> = questions().into_iter().map(|question| (dialect, question.sql)).collect();
        assert_eq!(judge("parse", &queries).as_array().unwrap().len(), queries.len());
    }
}

/// The folders that Athena and Trino make out of partitions are those that hosts deliver to.
#[test]
fn projected_folders_are_those_of_the_files() {
    let (hive, plain) = (Folder::new(), Folder::new());
    hosts::write(11..12, &hive.0, &plain.0);
    for (name, text) in definitions() {
        let Some((_, template)) =
            text.rsplit_once("'s3://flows/prod/").filter(|(_, rest)| rest.contains("${"))
        else {
            continue;
        };
        let mut folder = template.split('\'').next().unwrap().to_owned();
        for (column, value) in [
            ("aws_account_id", "012345678901"),
            ("aws_region", "us-east-1"),
            ("year", "2026"),
            ("month", "01"),
            ("day", "31"),
            ("hour", "10"),
        ] {
            assert!(folder.contains(&format!("${{{column}}}")), "{name}");
            folder = folder.replace(&format!("${{{column}}}"), value);
        }
        let root = if name.ends_with("-hive.sql") { &hive } else { &plain };
        assert!(root.0.join(&folder).is_dir(), "{name}: {folder}");
    }
}
