//! The dial socket as any program in any language sees it.

use std::os::fd::AsFd as _;
use std::process::Command;

use enid_api::dial::Channel;
use enid_api::dial::wire::{Answer, ErrorCode, MAX_MESSAGE};
use enid_testbed::traffic::{accept, tcp_listen};
use enid_testbed::{Host, HostOptions};

use crate::networks::{host, host_as, inside, ipv4};

/// What docs/dialing.md shows.
fn python_client() -> String {
    let text = include_str!("../../../../docs/dialing.md");
    let (_, rest) = text.split_once("```python\n").expect("an example");
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_example_of_the_documentation_works() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 8000);
    let run = |to: &str| {
        let mut python = Command::new("python3");
        python.arg("-c").arg(python_client()).arg(host.dial_socket());
        python.args(["web", "logs", to, "8000"]).output().unwrap()
    };
    std::thread::scope(|scope| {
        let done = scope.spawn(|| run(&ipv4(&peer).to_string()));
        let (mut far, _) = accept(&listener);
        std::io::Write::write_all(&mut far, b"hello from the peer\n").unwrap();
        drop(far);
        let output = done.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("hello from the peer"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    });
    let output = run("10.0.9.9");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("unreachable"));
}

async fn ask(caller: &Channel, bytes: &[u8]) -> Answer {
    caller.send(bytes, &[]).await.unwrap();
    serde_json::from_slice(&caller.receive().await.unwrap().bytes).unwrap()
}

#[test]
fn garbage_is_answered_and_the_conversation_goes_on() {
    let host = host();
    host.create("web", "red/a");
    let right = br#"{"id":3,"task":"web","host":"localhost","port":9}"#;
    host.wait(async {
        let caller = Channel::connect(&host.dial_socket()).unwrap();
        let huge = vec![b'x'; 100_000];
        let just_too_large = vec![b' '; MAX_MESSAGE + 1];
        let nested = "[".repeat(4000).into_bytes();
        for garbage in [
            b"x".as_slice(),
            b"{}",
            b"null",
            b"\0\0\0",
            b"\xff\xfe",
            &huge,
            &just_too_large,
            &nested,
            b"{\"task\":",
        ] {
            let error = ask(&caller, garbage).await.error.unwrap();
            assert_eq!(error.code, ErrorCode::BadRequest, "{}", error.message);
            let answer = ask(&caller, right).await;
            assert_eq!((answer.id, answer.error.unwrap().code), (3, ErrorCode::Refused));
        }
        // Seeded, so that what is found can be found again.
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut bytes = right.to_vec();
            for _ in 0..random.usize(1..5) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(1..=bytes.len()));
            assert!(ask(&caller, &bytes).await.error.is_some());
        }
        // Descriptors that nobody asked for are closed.
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        caller.send(right, &[one.as_fd()]).await.unwrap();
        drop(one);
        caller.receive().await.unwrap();
        other.set_read_timeout(Some(enid_testbed::DEADLINE)).unwrap();
        assert_eq!(std::io::Read::read(&mut &other, &mut [0]).unwrap(), 0);
    });
}

#[test]
fn answers_come_as_they_are_ready_with_their_requests_numbers() {
    let host = host();
    host.create("web", "red/a");
    host.wait(async {
        let caller = Channel::connect(&host.dial_socket()).unwrap();
        // Its resolvers don't answer.
        caller.send(br#"{"id":1,"task":"web","host":"slow","port":9,"timeoutMs":1500}"#, &[]).await.unwrap();
        caller.send(br#"{"id":2,"task":"web","host":"localhost","port":9}"#, &[]).await.unwrap();
        for expected in [2, 1] {
            let answer: Answer = serde_json::from_slice(&caller.receive().await.unwrap().bytes).unwrap();
            assert_eq!(answer.id, expected);
        }
    });
}

#[test]
fn who_reads_no_answers_holds_up_nobody_else() {
    let host = host();
    host.create("web", "red/a");
    host.wait(async {
        let deaf = Channel::connect(&host.dial_socket()).unwrap();
        let right = br#"{"id":3,"task":"web","host":"localhost","port":9}"#;
        // Until neither side has room for more.
        let stuffed = async {
            loop {
                deaf.send(right, &[]).await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(1), stuffed).await.unwrap_err();
        let caller = Channel::connect(&host.dial_socket()).unwrap();
        assert_eq!(ask(&caller, right).await.error.unwrap().code, ErrorCode::Refused);
    });
}

fn as_user(host: &Host, ids: &[&str]) -> String {
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
        s.connect(sys.argv[1])\n\
        s.send(b'{\"task\":\"web\",\"host\":\"localhost\",\"port\":9}')\n\
        print(s.recv(4096).decode())";
    let mut command = Command::new("setpriv");
    // The system's: one of root's own may be where nobody else can read it.
    command.args(ids).args(["/usr/bin/python3", "-c", script]).arg(host.dial_socket());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn root_and_the_sockets_group_may_dial_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut host = host_as(&HostOptions::default());
    host.stop_daemon();
    host.configure_first("socket_group = \"daemon\"\n");
    host.start_daemon();
    host.create("web", "red/a");
    // Others may look for the socket, as in /run.
    for folder in [host.folder(), host.run_directory()] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let outsider = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    assert!(as_user(&host, &outsider).contains("PermissionError"));
    // Debian's group `daemon` is number 1, as everywhere.
    for member in
        [["--reuid=65534", "--regid=1", "--clear-groups"], ["--reuid=65534", "--regid=65534", "--groups=7,1"]]
    {
        let said = as_user(&host, &member);
        assert!(said.contains("\"refused\""), "{said}");
    }
    // Whatever became of the socket's mode.
    std::fs::set_permissions(host.dial_socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = as_user(&host, &outsider);
    assert!(said.contains("not-permitted"), "{said}");
}
