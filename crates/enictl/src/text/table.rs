//! Tables of aligned columns.

/// The header of a column, and where its values stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text: values begin under the header.
    Left(&'static str),
    /// Numbers: values end under the header's end.
    Right(&'static str),
}

impl Column {
    const fn header(self) -> &'static str {
        match self {
            Self::Left(header) | Self::Right(header) => header,
        }
    }
}

/// Rows under a header in upper case, two spaces between columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    header_is_due: bool,
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            widths: columns.map(|column| column.header().len()),
            header_is_due: true,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.chars().count().max(*width);
        }
        self.rows.push(cells);
    }

    /// How many rows wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// The lines so far, which are then forgotten: the header the first time, and no column narrower than before. So a
    /// table without end is written part by part.
    pub(crate) fn take(&mut self) -> String {
        let mut text = String::new();
        if std::mem::take(&mut self.header_is_due) {
            text += &self.line(&self.columns.map(|column| column.header().to_owned()));
        }
        for row in std::mem::take(&mut self.rows) {
            text += &self.line(&row);
        }
        text
    }

    /// All lines.
    pub(crate) fn finish(mut self) -> String {
        self.take()
    }

    fn line(&self, cells: &[String; N]) -> String {
        let line: String = self
            .columns
            .iter()
            .zip(self.widths)
            .zip(cells)
            .map(|((column, width), cell)| match column {
                Column::Left(_) => format!("{cell:width$}  "),
                Column::Right(_) => format!("{cell:>width$}  "),
            })
            .collect();
        format!("{}\n", line.trim_end())
    }
}

/// The value, or `-` where there is none.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::new([Column::Left("NAME"), Column::Right("BYTES"), Column::Left("ZONE")]);
        table.row(["web-frontend".into(), "1,234,567".into(), "a".into()]);
        table.row(["db".into(), "9".into(), or_dash(None::<u8>)]);
        assert_eq!(
            table.take(),
            "NAME              BYTES  ZONE\n\
             web-frontend  1,234,567  a\n\
             db                    9  -\n"
        );
    }

    #[test]
    fn parts_keep_their_columns() {
        let mut table = Table::new([Column::Left("A"), Column::Left("B")]);
        table.row(["wide".into(), "x".into()]);
        assert_eq!(table.waiting(), 1);
        assert_eq!(table.take(), "A     B\nwide  x\n");
        table.row(["y".into(), "z".into()]);
        assert_eq!(table.take(), "y     z\n");
        assert_eq!(table.finish(), "");
    }
}
