//! Plain HTTP: requests in absolute form (RFC 9112, 3.2.2), each passed on over a connection of its own.

use enid_api::dial::wire::{ErrorCode, Refusal};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::idle::{Movement, Watched};
use super::server::{Body, LONGEST, MOST_IDLE, Server};
use crate::dial::refuse;

/// Fields that are about one connection (RFC 9110, 7.6.1), whatever `Connection` says. `Transfer-Encoding` among them: the
/// body is read, and written anew with what its length then is.
const HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Passes a request on, and the answer back.
pub(super) async fn forward(server: &Server, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let (mut head, body) = request.into_parts();
    let codings: Vec<_> = head.headers.get_all(TRANSFER_ENCODING).iter().collect();
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(refuse(ErrorCode::BadRequest, "this proxy knows no transfer coding but `chunked`"));
    }
    let (origin, host) = origin_form(&head.uri)?;
    let stream = server.dial(&head.uri, Some(80)).await?;
    let movement = Movement::new();
    let io = TokioIo::new(Watched::new(stream, &movement));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|error| failed(&error))?;
    head.uri = origin;
    strip(&mut head.headers);
    // Whom the URI names it is for, whatever the field says (RFC 9112, 3.2.2).
    head.headers.insert(HOST, host);
    head.headers.append(VIA, HeaderValue::from_static("1.1 enid"));
    // It ends with the request's sender and its answer, which the client's connection holds.
    tokio::spawn(async move {
        tokio::select! {
            _ = connection => {}
            () = movement.ceased(MOST_IDLE) => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    });
    let answer =
        sender.send_request(Request::from_parts(head, body)).await.map_err(|error| failed(&error))?;
    let (mut head, body) = answer.into_parts();
    if head.status.is_informational() {
        return Err(refuse(ErrorCode::Refused, format!("the server answers {}, unasked", head.status)));
    }
    strip(&mut head.headers);
    head.headers.append(VIA, HeaderValue::from_static("1.1 enid"));
    Ok(Response::from_parts(head, body.boxed()))
}

/// What the origin is asked for, and its name.
fn origin_form(uri: &Uri) -> Result<(Uri, HeaderValue), Refusal> {
    let wrong = |what: &'static str| refuse(ErrorCode::BadRequest, what);
    if uri.scheme_str() != Some("http") {
        return Err(wrong("this is a proxy: it takes CONNECT host:port, and requests for http:// URLs"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("the URL names no host"))?;
    // Without a user's name, which is for the client alone.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::from_str(host).map_err(|_| wrong("the URL names no host"))?;
    let path = uri.path_and_query().cloned();
    let origin =
        path.map_or_else(|| Ok(Uri::from_static("/")), |path| Uri::builder().path_and_query(path).build());
    Ok((origin.map_err(|_| wrong("the URL has no path that can be asked for"))?, host))
}

/// Takes away what is about one connection; with the body's coding for it, a length that does not count then (RFC 9112, 6.3).
fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn failed(error: &hyper::Error) -> Refusal {
    refuse(ErrorCode::Refused, format!("the server broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_form_becomes_the_origins() {
        let origin = |text: &str| {
            let (uri, host) = origin_form(&text.parse().unwrap()).ok()?;
            Some((uri.to_string(), host.to_str().unwrap().to_owned()))
        };
        let is = |uri: &str, host: &str| Some((uri.to_owned(), host.to_owned()));
        assert_eq!(origin("http://user:secret@web:8080/a/b?c=d"), is("/a/b?c=d", "web:8080"));
        assert_eq!(origin("http://[fd00::1]/"), is("/", "[fd00::1]"));
        assert_eq!(origin("http://web"), is("/", "web"));
        assert_eq!(origin("https://web/"), None);
        assert_eq!(origin("/etc/passwd"), None);
    }

    #[test]
    fn what_is_about_one_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("proxy-authorization", "Basic eA=="),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("2"));
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }
}
