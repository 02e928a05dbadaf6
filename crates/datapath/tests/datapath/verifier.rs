//! What the programs cost the verifier: it may look at a million instructions, and a daemon waits for it when it starts.

use aya::programs::SchedClassifier;

use crate::host::{BPF, config, in_host};
use crate::link::Wire;

/// Instructions that the verifier looked at, counting each path: room for a third more than when this was written.
const MOST: [(&str, u32); 2] = [("from_eni", 270_000), ("to_eni", 270_000)];

#[test]
fn programs_stay_within_what_the_verifier_is_asked_for() {
    in_host(|| {
        let _wire = Wire::new(&config(16));
        for (name, most) in MOST {
            let program = SchedClassifier::from_pin(format!("{BPF}/{name}")).unwrap();
            let verified = program.info().unwrap().verified_instruction_count().expect("Linux 5.16 or later");
            println!("{name}: {verified}");
            assert!(verified <= most, "the verifier looked at {verified} instructions of {name}, not {most}");
            assert!(verified > most / 4, "{name}: {verified} are far fewer than the {most} expected");
        }
    });
}
