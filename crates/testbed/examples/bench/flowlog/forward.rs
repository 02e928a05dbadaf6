//! Traffic between two tasks, with a flow log and without, in turns.

use std::time::Duration;

use anyhow::Result;

use super::{Arguments, KIND, log_to_folder};
use crate::forward::{Measure, Rounds, table, tasks};
use crate::subject::Subject;
use crate::traffic::{Window, take_the_lead};

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let daemon = tasks::start(&arguments.enid, &arguments.work, "forward", "nat", tasks::PLAIN)?;
    let session = daemon.session()?;
    let off = tasks::tasks(&daemon, "off", KIND)?;
    // The same two tasks.
    let on = Subject { name: "on", pair: off.pair.again()?, _host: None };
    let interval = arguments.interval.unwrap_or(1);
    let length = Duration::from_secs_f64(arguments.seconds.unwrap_or(1.0));
    let window = Window { warm_up: length / 4, length };
    take_the_lead()?;
    let mut is_on = false;
    let subjects = [off, on];
    let rounds = Rounds::take(
        &subjects,
        &Measure::chosen(&arguments.only),
        window,
        arguments.rounds.unwrap_or(8),
        |position| match (std::mem::replace(&mut is_on, position == 1), position == 1) {
            (false, true) => log_to_folder(&session, &arguments.work, "forward", interval).map(drop),
            (true, false) => session.delete_flow_log("bench"),
            _ => Ok(()),
        },
    )?;
    println!("\nA flow log of the VPC, as Parquet into a folder every {interval} s: off and on");
    table(KIND, &subjects, &rounds);
    Ok(())
}
