//! Flow records: fields, formats, aggregation, files, and reading them back.
