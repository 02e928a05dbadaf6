//! HTTP proxies through a task's ENI: real programs, and what no program would send.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use enid_api::v1::OpenProxyRequest;
use enid_flowlog::Direction;
use enid_model::TrafficClass;
use enid_netns::Namespace;
use enid_testbed::namespace::{self, inside as in_namespace};
use enid_testbed::traffic::{accept, tcp_listen, try_tcp_connect};
use enid_testbed::{DEADLINE, Host, HostOptions, program, wait_until};
use tonic::{Code, Status};

use crate::dial::SOON;
use crate::ledger::{assert_closed, counters, flush, named, records, total};
use crate::networks::{host, host_as, inside, ipv4, ipv6};

fn open(host: &Host, task: &str, class: &str) -> Result<String, Status> {
    let request = OpenProxyRequest { task: task.to_owned(), traffic_class: class.to_owned() };
    Ok(host.call(async |client| client.tasks().open_proxy(request).await)?.url)
}

/// A program of the host's, by a task's proxy.
fn through(host: &Host, class: &str, command: &[&str]) -> Output {
    let mut enictl = Command::new(program("enictl"));
    enictl.arg("--socket").arg(host.socket()).args(["proxy", "web", "--class", class, "--"]);
    enictl.args(["timeout", "30"]).args(command);
    enictl
        .env("AWS_ACCESS_KEY_ID", "x")
        .env("AWS_SECRET_ACCESS_KEY", "x")
        .env("AWS_DEFAULT_REGION", "eu-west-1");
    in_namespace(host.namespace(), move || enictl.output()).unwrap()
}

#[track_caller]
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A server in a namespace, until it is dropped.
struct Service(Child);

impl Service {
    fn start(namespace: &Namespace, port: u16, command: &[&str]) -> Self {
        let mut child = Command::new(command[0]);
        child.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let service = Self(in_namespace(namespace, move || child.spawn()).unwrap());
        let to = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        assert!(wait_until(DEADLINE, || try_tcp_connect(namespace, to).is_ok()), "{command:?} listens");
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Packets of the class that went to a port, and of any.
fn sent(host: &Host, class: TrafficClass, port: u16) -> (u64, u64) {
    flush(host);
    assert_closed(host);
    let records = records(host);
    let to_port = |record: &enid_flowlog::ParsedRecord| record.dstport == Some(port);
    let any = total(&records, "web", Direction::Egress, to_port);
    let its = total(&records, "web", Direction::Egress, |record| {
        to_port(record) && record.traffic_class == Some(class)
    });
    (its.0, any.0)
}

#[test]
fn curl_tunnels_tls_and_forwards_http() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let in_peer = inside(&peer);
    let (key, certificate) = (host.folder().join("key"), host.folder().join("certificate"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    namespace::command(
        &in_peer,
        &[
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=peer",
            "-days",
            "2",
        ],
    );
    let _tls = Service::start(
        &in_peer,
        8443,
        &["openssl", "s_server", "-www", "-accept", "*:8443", "-key", key, "-cert", certificate],
    );
    let folder = host.folder().to_str().unwrap().to_owned();
    let _http = Service::start(
        &in_peer,
        8080,
        &["python3", "-m", "http.server", "--bind", "::", "--directory", &folder, "8080"],
    );
    for address in [ipv4(&peer).to_string(), format!("[{}]", ipv6(&peer))] {
        let page = said(&through(&host, "secrets", &["curl", "-sSk", &format!("https://{address}:8443/")]));
        assert!(page.contains("Ciphers supported"), "{page}");
        let url = format!("http://{address}:8080/certificate");
        let text = said(&through(&host, "secrets", &["curl", "-sS", &url, &url]));
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    }
    for port in [8443, 8080] {
        let (its, any) = sent(&host, TrafficClass::Secrets, port);
        assert!(its > 0 && its == any, "{port}: {its} of {any}");
    }
    let out = counters(&host, "web").egress.unwrap();
    assert_eq!(named(&out, "application"), (0, 0));
    // Why not, by name, where the program can say it.
    let refused = through(&host, "secrets", &["curl", "-sS", &format!("http://{}:81/", ipv4(&peer))]);
    assert!(said(&refused).contains(":81 refuses connections"));
    let refused = through(&host, "secrets", &["curl", "-sSi", "http://10.0.9.9/"]);
    assert!(said(&refused).contains("enid-error: unreachable"), "{refused:?}");
}

#[test]
fn skopeo_and_aws_work_by_a_proxy() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let in_peer = inside(&peer);
    let folder = host.folder();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let settings = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: ':5000'}}\n",
        path("registry")
    );
    std::fs::write(path("registry.yml"), settings).unwrap();
    let _registry = Service::start(&in_peer, 5000, &["docker-registry", "serve", &path("registry.yml")]);
    // What can't be compressed, and can be told again.
    let mut blob = vec![0; 300_000];
    fastrand::Rng::with_seed(1).fill(&mut blob);
    std::fs::create_dir(path("layer")).unwrap();
    std::fs::write(path("layer/file"), blob).unwrap();
    let image = path("image");
    for command in [
        vec!["umoci", "init", "--layout", &image],
        vec!["umoci", "new", "--image", &format!("{image}:1")],
        vec!["umoci", "insert", "--image", &format!("{image}:1"), &path("layer/file"), "/file"],
    ] {
        namespace::command(&in_peer, &command);
    }
    let (from, to) = (format!("oci:{image}:1"), format!("docker://{}:5000/app:1", ipv4(&peer)));
    said(&through(&host, "image-pull", &["skopeo", "copy", "--dest-tls-verify=false", &from, &to]));
    let copy = format!("dir:{}", path("copy"));
    said(&through(&host, "image-pull", &["skopeo", "copy", "--src-tls-verify=false", &to, &copy]));
    let (its, any) = sent(&host, TrafficClass::ImagePull, 5000);
    assert!(its > 0 && its == any, "{its} of {any}");
    assert!(named(&counters(&host, "web").ingress.unwrap(), "image-pull").1 > 300_000);

    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/python/bin/moto_server");
    let _aws = Service::start(&in_peer, 5001, &[python.to_str().unwrap(), "-H", "::", "-p", "5001"]);
    let endpoint = format!("http://{}:5001", ipv4(&peer));
    let secret = |command: &[&str]| {
        let aws = ["aws", "--endpoint-url", &endpoint, "secretsmanager"];
        said(&through(&host, "secrets", &[&aws, command].concat()))
    };
    secret(&["create-secret", "--name", "database", "--secret-string", "swordfish"]);
    assert!(secret(&["get-secret-value", "--secret-id", "database"]).contains("\"swordfish\""));
    let (its, any) = sent(&host, TrafficClass::Secrets, 5001);
    assert!(its > 0 && its == any, "{its} of {any}");
}

/// Where a proxy listens, and the credentials that its URL has, encoded.
fn parts(url: &str) -> (SocketAddr, String) {
    let (credentials, address) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let mut base64 =
        Command::new("base64").args(["-w0"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    base64.stdin.take().unwrap().write_all(credentials.as_bytes()).unwrap();
    let encoded = base64.wait_with_output().unwrap().stdout;
    (address.parse().unwrap(), String::from_utf8(encoded).unwrap())
}

fn connect(host: &Host, to: SocketAddr) -> TcpStream {
    let stream = in_namespace(host.namespace(), || TcpStream::connect(to)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// All that comes back for some bytes.
fn exchange(host: &Host, to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(host, to);
    // The proxy may have closed before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_proxy_is_opened_once_for_those_who_know_its_password() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let url = open(&host, "web", "logs").unwrap();
    assert_eq!(open(&host, "web", "logs").unwrap(), url);
    assert_ne!(open(&host, "web", "exec").unwrap(), url);
    for (task, class, code) in [
        ("nobody", "logs", Code::NotFound),
        ("web", "Logs", Code::InvalidArgument),
        ("../web", "logs", Code::InvalidArgument),
    ] {
        assert_eq!(open(&host, task, class).unwrap_err().code(), code);
    }
    let (address, _) = parts(&url);
    assert!(address.ip().is_loopback());
    let _listener = tcp_listen(&inside(&peer), ipv4(&peer), 80);
    for authorization in ["", "Proxy-Authorization: Basic d2ViOng=\r\n", "Proxy-Authorization: Basic\r\n"] {
        let request = format!("CONNECT {}:80 HTTP/1.1\r\nHost: x\r\n{authorization}\r\n", ipv4(&peer));
        let answer = exchange(&host, address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
        assert!(answer.to_lowercase().contains("proxy-authenticate: basic"), "{answer}");
    }
    // The printed form is for a shell.
    let mut enictl = Command::new(program("enictl"));
    enictl.arg("--socket").arg(host.socket()).args(["proxy", "web", "--class", "logs"]);
    let printed = said(&enictl.output().unwrap());
    assert!(printed.contains(&format!("export HTTPS_PROXY='{url}'\n")), "{printed}");
    assert!(printed.contains("export no_proxy='localhost,127.0.0.1,::1'\n"), "{printed}");
}

#[test]
fn half_closed_tunnels_go_on_and_all_end_with_the_task() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let (address, credentials) = parts(&open(&host, "web", "logs").unwrap());
    let listener = tcp_listen(&inside(&peer), ipv4(&peer), 80);
    let tunnel = || {
        let mut near = connect(&host, address);
        write!(
            near,
            "CONNECT {}:80 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {credentials}\r\n\r\n",
            ipv4(&peer)
        )
        .unwrap();
        let (far, _) = accept(&listener);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
        assert!(!String::from_utf8_lossy(&head).to_lowercase().contains("content-length"));
        (near, far)
    };
    let (mut near, mut far) = tunnel();
    near.write_all(b"a question").unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a question");
    far.write_all(&vec![7; 3_000_000]).unwrap();
    drop(far);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 3_000_000);

    let (mut near, _far) = tunnel();
    assert!(host.delete("web"));
    let began = Instant::now();
    // However: an end or a reset.
    assert_eq!(near.read(&mut [0]).unwrap_or(0), 0);
    assert!(began.elapsed() < SOON);
    let refused = || in_namespace(host.namespace(), || TcpStream::connect(address)).is_err();
    assert!(wait_until(DEADLINE, refused), "nobody listens any more");
    // A task of the same name is another.
    host.create("web", "red/a");
    assert_ne!(parts(&open(&host, "web", "logs").unwrap()).1, credentials);
}

#[test]
fn what_no_program_would_send_does_no_harm() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let (address, credentials) = parts(&open(&host, "web", "logs").unwrap());
    let authorization = format!("Proxy-Authorization: Basic {credentials}\r\n");
    let to = ipv4(&peer);
    let status = |request: String| -> String {
        let answer = exchange(&host, address, request.as_bytes());
        answer.split(' ').nth(1).unwrap_or("closed").to_owned()
    };
    let huge = "x".repeat(20_000);
    let many = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect::<Vec<_>>().concat();
    for (request, expected) in [
        ("\r\n\r\n\0\0\0".to_owned(), vec!["400", "closed"]),
        (format!("GET / HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("GET https://{to}/ HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("CONNECT {to}:0 HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("CONNECT {to}:99999 HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("CONNECT :80 HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["400"]),
        (format!("CONNECT {to}:81 HTTP/1.1\r\nHost: {to}\r\n{authorization}\r\n"), vec!["502"]),
        (
            format!(
                "CONNECT {to}:81 HTTP/1.1\r\nHost: {to}\r\nContent-Length: 5\r\n{authorization}\r\nhello"
            ),
            vec!["400"],
        ),
        (
            format!(
                "POST http://{to}:81/ HTTP/1.1\r\nHost: {to}\r\nTransfer-Encoding: gzip, chunked\r\n{authorization}\r\n0\r\n\r\n"
            ),
            vec!["400"],
        ),
        (
            format!("CONNECT none:81 HTTP/1.1\r\nHost: {to}\r\n{authorization}X-Long: {huge}\r\n\r\n"),
            vec!["431", "closed"],
        ),
        (format!("CONNECT {to}:81 HTTP/1.1\r\n{authorization}{many}\r\n"), vec!["431", "closed"]),
        (format!("GET http://{to}:81/{huge} HTTP/1.1\r\n{authorization}\r\n"), vec!["414", "431", "closed"]),
        (format!("GET http://{to}:81/ HTTP/9.9\r\n{authorization}\r\n"), vec!["400", "505", "closed"]),
    ] {
        let found = status(request.clone());
        assert!(expected.contains(&found.as_str()), "{found}: {}", &request[..request.len().min(120)]);
    }

    // Two lengths: what is sent on has one, and nothing hides behind it.
    let listener = tcp_listen(&inside(&peer), to, 80);
    let smuggled = "GET /admin HTTP/1.1\r\nHost: evil\r\n\r\n";
    let body = format!("0\r\n\r\n{smuggled}");
    for framing in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()),
        "Content-Length: 5\r\nContent-Length: 50\r\n".to_owned(),
        format!("Transfer-Encoding: chunked, identity\r\nContent-Length: {}\r\n", body.len()),
    ] {
        thread::scope(|scope| {
            let seen = scope.spawn(|| {
                rustix::net::sockopt::set_socket_timeout(
                    &listener,
                    rustix::net::sockopt::Timeout::Recv,
                    Some(std::time::Duration::from_millis(700)),
                )
                .unwrap();
                let mut all = String::new();
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
                    let mut text = vec![0; 65_536];
                    let length = stream.read(&mut text).unwrap_or(0);
                    all.push_str(&String::from_utf8_lossy(&text[..length]));
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                }
                all
            });
            let request = format!(
                "POST http://{to}/ HTTP/1.1\r\nHost: evil\r\n{authorization}Connection: X-Own\r\nX-Own: 1\r\n{framing}\r\n{body}"
            );
            exchange(&host, address, request.as_bytes());
            let seen = seen.join().unwrap();
            assert!(!seen.contains("evil") && !seen.contains("GET /admin"), "{framing}: {seen}");
            assert!(!seen.to_lowercase().contains("proxy-") && !seen.contains("X-Own"), "{seen}");
            let lengths = seen.to_lowercase().matches("content-length").count()
                + seen.to_lowercase().matches("transfer-encoding").count();
            assert!(lengths <= 1, "{framing}: {seen}");
        });
    }
}

/// Any user of the host may knock at a loopback port: who has no password keeps nobody out who has.
#[test]
fn connections_to_a_proxy_are_bounded_and_strangers_make_room() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    let (address, credentials) = parts(&open(&host, "web", "logs").unwrap());
    let request = format!(
        "GET http://{}:81/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {credentials}\r\n\r\n",
        ipv4(&peer)
    );
    let mut strangers: Vec<TcpStream> = (0..300).map(|_| connect(&host, address)).collect();
    for stranger in &mut strangers {
        let _ = stranger.write_all(b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let silent: Vec<TcpStream> = (0..300).map(|_| connect(&host, address)).collect();
    assert!(exchange(&host, address, request.as_bytes()).starts_with("HTTP/1.1 502 "));
    // The eldest have gone, and the last is there.
    let mut silent = silent.into_iter();
    assert_eq!(silent.next().unwrap().read(&mut [0]).unwrap_or(0), 0);
    let mut last = silent.next_back().unwrap();
    last.set_nonblocking(true).unwrap();
    assert_eq!(last.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop((strangers, silent, last));

    // Of those who have it there is an end, too.
    let status = |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head).into_owned()
    };
    let ask = |_| {
        let mut stream = connect(&host, address);
        (status(&mut stream), stream)
    };
    let (said, held): (Vec<String>, Vec<TcpStream>) = (0..257).map(ask).unzip();
    assert!(said[..256].iter().all(|said| said == "HTTP/1.1 502"), "{said:?}");
    assert_eq!(said[256], "HTTP/1.1 503");
    drop(held);
    assert!(
        wait_until(DEADLINE, || exchange(&host, address, request.as_bytes()).starts_with("HTTP/1.1 502 "))
    );
}

#[test]
fn dialing_from_the_command_line_is_a_conversation() {
    let host = host();
    host.create("web", "red/a");
    let peer = host.create("peer", "red/b");
    for address in [ipv4(&peer), ipv6(&peer)] {
        let listener = tcp_listen(&inside(&peer), address, 8000);
        let to = SocketAddr::new(address, 8000).to_string();
        let mut enictl = Command::new("timeout");
        enictl.arg("30").arg(program("enictl"));
        enictl.arg("--socket").arg(host.socket()).args(["dial", "web", "--class", "exec", &to]);
        let mut child = enictl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut far, _) = accept(&listener);
        // Half a line: it must not wait for the rest.
        far.write_all(b"login: ").unwrap();
        let mut greeting = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"login: ");
        child.stdin.take().unwrap().write_all(b"me").unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "me");
        far.write_all(b"welcome").unwrap();
        drop(far);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, b"welcome");
    }
    let mut enictl = Command::new(program("enictl"));
    let output = enictl
        .arg("--socket")
        .arg(host.socket())
        .args(["dial", "web", "--class", "exec", "10.0.9.9:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("enictl: 10.0.9.9:1 can't be reached"));
}

#[test]
fn on_1_3_0_secrets_are_dialed_by_the_platform_eni() {
    let host = host_as(&HostOptions::default());
    let outside = crate::uplink::outside(&host);
    let request = enid_api::v1::CreateTaskRequest {
        platform_version: Some("1.3.0".to_owned()),
        ..enid_testbed::new_task("web", "shop/a")
    };
    let web = host.create_as(&request).unwrap();
    let to: IpAddr = crate::uplink::OUTSIDE[0].parse().unwrap();
    let of_class = |class| crate::dial::dialer(&host, "web").class(class);
    for (class, by_platform) in [
        (TrafficClass::Secrets, true),
        (TrafficClass::EcrLogin, true),
        (TrafficClass::ImagePull, false),
        (TrafficClass::Logs, false),
    ] {
        let port = 8000 + u16::from(class.number());
        let listener = tcp_listen(&outside, to, port);
        let tcp = enid_api::dial::wire::Protocol::Tcp;
        let dialed = host.wait(of_class(class).dial(&to.to_string(), port, tcp)).unwrap();
        drop(accept(&listener));
        let own: IpAddr = crate::uplink::HOST[0].parse().unwrap();
        if by_platform {
            assert_eq!((dialed.eni.as_str(), dialed.local.ip()), ("platform", own), "{class}");
        } else {
            assert_eq!(dialed.eni, web.eni.as_ref().unwrap().id);
            assert_eq!(dialed.local.ip(), ipv4(&web), "{class}");
        }
        drop(dialed);
        let (its, any) = sent(&host, class, port);
        assert_eq!((its > 0, any > 0), (!by_platform, !by_platform), "{class} in the flow log");
    }
    // As the host does: this is the host's own loopback.
    let listener = tcp_listen(host.namespace(), "127.0.0.1".parse().unwrap(), 8100);
    host.wait(of_class(TrafficClass::Secrets).connect("localhost", 8100)).unwrap();
    drop(accept(&listener));
    let (code, message) = crate::dial::refused(&host, &of_class(TrafficClass::Efs), "localhost", 1);
    assert_eq!(code, enid_api::dial::wire::ErrorCode::ClassNotCarried);
    assert!(message.contains("platform version 1.3.0, which has no efs"), "{message}");
    assert_eq!(open(&host, "web", "efs").unwrap_err().code(), Code::FailedPrecondition);
}
