//! The rounds: in each, every measure of every subject.

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::subject::Subject;
use crate::traffic::{self, Connection, Pair, Window};

/// Something to measure.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Stream,
    Request,
    #[value(name = "request-1k")]
    Request1k,
    Connect,
    Datagram,
}

/// A figure of a measure: what it is called in the table.
pub(crate) type Figure = (&'static str, f64);

impl Measure {
    /// Those, or all if there is none.
    pub(crate) fn chosen(only: &[Self]) -> Vec<Self> {
        let all = Self::value_variants();
        all.iter().copied().filter(|measure| only.is_empty() || only.contains(measure)).collect()
    }

    /// Measures once.
    fn take(self, pair: &Pair, window: Window) -> Result<Vec<Figure>> {
        Ok(match self {
            Self::Stream => {
                let stream = traffic::stream(pair, &Connection::open(pair)?, window)?;
                vec![("stream, Gbit/s", stream.rate), ("stream, CPU s/Gbit", stream.cpu)]
            }
            Self::Request => {
                let request = traffic::requests(pair, &Connection::open(pair)?, 1, window)?;
                vec![
                    ("1 B requests/s", request.rate),
                    ("1 B request p50, µs", request.median.as_secs_f64() * 1e6),
                    ("1 B request p99, µs", request.p99.as_secs_f64() * 1e6),
                ]
            }
            Self::Request1k => {
                let request = traffic::requests(pair, &Connection::open(pair)?, 1024, window)?;
                vec![
                    ("1 KiB requests/s", request.rate),
                    ("1 KiB request p50, µs", request.median.as_secs_f64() * 1e6),
                    ("1 KiB request p99, µs", request.p99.as_secs_f64() * 1e6),
                ]
            }
            Self::Connect => vec![("connections/s", traffic::connects(pair, window)?)],
            Self::Datagram => {
                let datagram = traffic::datagrams(pair, window)?;
                vec![
                    ("64 B datagrams received/s", datagram.received),
                    ("64 B datagrams sent/s", datagram.sent),
                ]
            }
        })
    }
}

/// What all rounds gave, of each figure and each subject a value a round.
pub(crate) struct Rounds {
    pub(crate) count: u32,
    /// By figure, then by subject, then by round.
    pub(crate) figures: Vec<(&'static str, Vec<Vec<f64>>)>,
}

impl Rounds {
    /// Measures: in each round, each measure of every subject, one after the other, another one first in each round.
    /// `prepare` is told the position of the one whose turn it is.
    pub(crate) fn take(
        subjects: &[Subject],
        measures: &[Measure],
        window: Window,
        count: u32,
        mut prepare: impl FnMut(usize) -> Result<()>,
    ) -> Result<Self> {
        let mut rounds = Self { count, figures: Vec::new() };
        for round in 0..count {
            for measure in measures {
                for turn in 0..subjects.len() {
                    let position = (turn + round as usize) % subjects.len();
                    let Some(subject) = subjects.get(position) else { continue };
                    prepare(position)?;
                    let figures =
                        measure.take(&subject.pair, window).with_context(|| subject.name.to_owned())?;
                    for (name, value) in figures {
                        rounds.add(name, subjects.len(), position, value);
                    }
                }
            }
        }
        Ok(rounds)
    }

    fn add(&mut self, name: &'static str, subjects: usize, subject: usize, value: f64) {
        if !self.figures.iter().any(|(known, _)| *known == name) {
            self.figures.push((name, vec![Vec::new(); subjects]));
        }
        let figure = self.figures.iter_mut().find(|(known, _)| *known == name);
        if let Some(values) = figure.and_then(|(_, subjects)| subjects.get_mut(subject)) {
            values.push(value);
        }
    }
}
