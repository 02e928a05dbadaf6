//! Reads a file of flow records, the first line its header, with Vector's parser, and prints each as JSON.

use std::error::Error;
use std::io::{self, BufRead as _};

use vrl::compiler::{TargetValue, TimeZone, compile, state::RuntimeState};
use vrl::value;
use vrl::value::{Secrets, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    // It spells fields with underscores.
    let header = lines.next().ok_or("there is no header")??.replace('-', "_");
    let source = format!(". = parse_aws_vpc_flow_log!(string!(.message), format: {header:?})");
    let program = compile(&source, &vrl::stdlib::all()).map_err(|error| format!("{error:?}"))?.program;
    for line in lines {
        let mut target = TargetValue {
            value: value!({ "message": (line?) }),
            metadata: Value::Object(Default::default()),
            secrets: Secrets::default(),
        };
        let timezone = TimeZone::default();
        let mut state = RuntimeState::default();
        let mut context = vrl::compiler::Context::new(&mut target, &mut state, &timezone);
        let record = program.resolve(&mut context)?;
        println!("{}", serde_json::to_string(&record)?);
    }
    Ok(())
}
