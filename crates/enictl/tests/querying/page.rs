//! The page and the files that it shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is shown in a fence, or linked from the text between.
pub(crate) enum Piece {
    Link(String),
    Sql(String),
    Console(String),
}

/// A part of the page with a heading of its own.
pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) pieces: Vec<Piece>,
}

/// A question with its two answers.
pub(crate) struct Question {
    pub(crate) heading: String,
    /// A command of a shell.
    pub(crate) command: String,
    /// What it prints.
    pub(crate) output: String,
    pub(crate) sql: String,
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The definitions by their file names.
pub(crate) fn definitions() -> BTreeMap<String, String> {
    let files = docs().join("querying").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

pub(crate) fn sections() -> Vec<Section> {
    let page = std::fs::read_to_string(docs().join("querying-at-scale.md")).unwrap();
    let mut sections: Vec<Section> = Vec::new();
    let mut fence: Option<(String, String)> = None;
    for line in page.lines() {
        if let Some((language, mut text)) = fence.take() {
            if line == "```" {
                let pieces = &mut sections.last_mut().unwrap().pieces;
                match &*language {
                    "sql" => pieces.push(Piece::Sql(text)),
                    "console" => pieces.push(Piece::Console(text)),
                    _ => {}
                }
            } else {
                text += line;
                text.push('\n');
                fence = Some((language, text));
            }
        } else if let Some(language) = line.strip_prefix("```") {
            fence = Some((language.to_owned(), String::new()));
        } else if line.starts_with('#') {
            let heading = line.trim_start_matches(['#', ' ']).to_owned();
            sections.push(Section { heading, pieces: Vec::new() });
        } else {
            let links = line.split("](querying/").skip(1).filter_map(|rest| rest.split_once(')'));
            let links = links.map(|(name, _)| Piece::Link(name.to_owned()));
            sections.last_mut().unwrap().pieces.extend(links);
        }
    }
    assert!(fence.is_none(), "a fence is left open");
    sections
}

/// Whether the section shows a command, and a query that says the same.
pub(crate) fn is_question(section: &Section) -> bool {
    matches!(&*section.pieces, [Piece::Console(_), Piece::Sql(_)])
}

pub(crate) fn questions() -> Vec<Question> {
    let question = |section: Section| match &*section.pieces {
        [Piece::Console(console), Piece::Sql(sql)] => {
            let (command, output) = console.split_once('\n').unwrap();
            Some(Question {
                heading: section.heading,
                command: command.strip_prefix("$ ").unwrap().to_owned(),
                output: output.to_owned(),
                sql: sql.clone(),
            })
        }
        _ => None,
    };
    sections().into_iter().filter_map(question).collect()
}
