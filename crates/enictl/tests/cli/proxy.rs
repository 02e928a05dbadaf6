//! `enictl proxy`.

use crate::daemon::{Answers, Daemon};

#[test]
fn variables_are_for_a_shell_to_read_or_for_a_command() {
    let daemon = Daemon::start(Answers::default());
    let script = daemon.stdout(&["proxy", "web", "--class", "logs"]);
    assert!(script.contains("export HTTPS_PROXY='http://web:logs@127.0.0.1:3128'\n"), "{script}");
    let arguments = ["proxy", "web", "--class", "logs", "--", "sh", "-c", "echo $https_proxy; exit 3"];
    let (code, stdout, _) = daemon.output(&arguments);
    assert_eq!((code, stdout.as_str()), (3, "http://web:logs@127.0.0.1:3128\n"));
    let (code, _, stderr) = daemon.output(&["proxy", "web", "--class", "logs", "--", "/no/such/program"]);
    assert!(code != 0 && stderr.contains("/no/such/program"), "{stderr}");
}
