//! HTTP on the loopback interface: one thread for all connections, each with limits on its time and size. It serves a model that
//! is explored, or the files of a page.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::End;
use super::api::{Endpoint, Reply, about, content_type, largest_body};
use super::model::About;
use super::worker::Worker;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// For a request's head, for its body, and for a connection to come to its end.
const PATIENCE: Duration = Duration::from_secs(10);
/// From a failure to the end, for those who wait to hear of it.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// After this a connection takes no more requests; a page opens another.
const LIFETIME: Duration = Duration::from_secs(60);

/// A free port of the loopback interface, or this one.
///
/// # Errors
/// It is taken, or not allowed.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What is served.
pub enum Served {
    /// A model that answers, on a device of this program's.
    Explorer(Box<Explored>),
    /// Files by their paths, with slashes and without one at the beginning.
    Files(BTreeMap<String, Vec<u8>>),
}

/// A model that answers.
pub struct Explored {
    /// Whoever asks for more than the page itself must know it: on a machine of several people any of them reaches the
    /// port.
    pub token: String,
    /// What never changes of the model.
    pub about: About,
    /// Who asks it.
    pub worker: Worker,
}

struct Site {
    port: u16,
    served: Served,
}

/// Serves until there is an end, and says which.
///
/// # Errors
/// The operating system.
pub fn serve(
    listener: TcpListener,
    served: Served,
    mut end: watch::Receiver<Option<End>>,
) -> io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let site = Arc::new(Site { port: listener.local_addr()?.port(), served });
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        tokio::spawn(async move {
            loop {
                let slot = slots.clone().acquire_owned().await;
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let connection = serve_connection(stream, site.clone());
                        tokio::spawn(async move {
                            connection.await;
                            drop(slot);
                        });
                    }
                    // The caller has gone, or there are no file handles left.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        });
        let end = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        let end = end.unwrap_or(End::Interrupted);
        if let End::Failed(_) = end {
            sleep(LAST_WORDS).await;
        }
        // What is still open then ends with the runtime.
        Ok(end)
    })
}

async fn serve_connection(stream: tokio::net::TcpStream, site: Arc<Site>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(respond(request, &site).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    if timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(PATIENCE, connection).await;
    }
}

/// For both kinds of page; neither asks anybody else for anything.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async fn respond(request: Request<Incoming>, site: &Site) -> Response<Full<Bytes>> {
    let (reply, method) = match &site.served {
        Served::Files(files) => (file(&request, site.port, files), "GET"),
        Served::Explorer(explored) => {
            let endpoint = Endpoint::at(request.uri().path());
            let method = endpoint.map_or("GET", Endpoint::method);
            (reply(request, endpoint, site.port, explored).await, method)
        }
    };
    let reply = reply.unwrap_or_else(|refusal| refusal);
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status.try_into().expect("a status");
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, reply.content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if reply.status == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static(method));
    }
    response
}

/// A file; a refusal is the other kind of it.
fn file(
    request: &Request<Incoming>,
    port: u16,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Reply, Reply> {
    check_host(request.headers(), port)?;
    let path = request.uri().path();
    check_site(request.headers(), path)?;
    let name = match &path[1.min(path.len())..] {
        "" => "index.html",
        name => name,
    };
    let bytes =
        files.get(name).ok_or_else(|| Reply::error(404, format!("there is nothing at {path}")))?;
    if request.method() != "GET" {
        let got = request.method();
        return Err(Reply::error(405, format!("{path} takes GET, got {got}")));
    }
    Ok(Reply::ok(content_type(name), bytes.clone()))
}

/// The answer of a model; a refusal is the other kind of it.
async fn reply(
    request: Request<Incoming>,
    endpoint: Option<Endpoint>,
    port: u16,
    site: &Explored,
) -> Result<Reply, Reply> {
    check_host(request.headers(), port)?;
    let path = request.uri().path();
    check_site(request.headers(), path)?;
    if !matches!(endpoint, None | Some(Endpoint::Page(..))) {
        check_token(&request, &site.token)?;
    }
    let endpoint =
        endpoint.ok_or_else(|| Reply::error(404, format!("there is nothing at {path}")))?;
    if request.method() != endpoint.method() {
        let (takes, got) = (endpoint.method(), request.method());
        return Err(Reply::error(405, format!("{path} takes {takes}, got {got}")));
    }
    let has_length = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| request.headers().contains_key(name));
    if endpoint.method() == "POST" && !has_length {
        return Err(Reply::error(411, format!("{path} needs a body and its Content-Length")));
    }
    if let Endpoint::About = endpoint {
        return Ok(about(&site.about)); // it never changes: the model is not asked
    }
    let limit = largest_body(&site.about);
    let body = timeout(PATIENCE, Limited::new(request.into_body(), limit).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            return Err(Reply::error(413, format!("a body may have {limit} bytes at most")));
        }
        Ok(Err(e)) => return Err(Reply::error(400, format!("the body broke off: {e}"))),
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            return Err(Reply::error(408, format!("the body took more than {seconds} seconds")));
        }
    };
    Ok(site.worker.ask(endpoint.question(&body, &site.about)?).await)
}

/// Only a page of this server may ask: a name that somebody made point here is not one of ours
/// (DNS rebinding), and no other site's page may ask in its visitor's name.
fn check_host(headers: &HeaderMap, port: u16) -> Result<(), Reply> {
    let text = |name| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let names = ["127.0.0.1", "localhost", "[::1]"];
    // Where the port is HTTP's own, callers leave it out.
    let ours = |host: &str| {
        let host = &*host.to_ascii_lowercase();
        let with_port = |name: &&str| host == format!("{name}:{port}");
        names.iter().any(with_port) || port == 80 && names.contains(&host)
    };
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Reply::error(400, "the request has two Hosts"));
    }
    let Some(host) = text(header::HOST) else {
        return Err(Reply::error(400, "the request has no Host"));
    };
    if !ours(&host) {
        let reason = format!("Host must be 127.0.0.1:{port} or localhost:{port}, got {host}");
        return Err(Reply::error(403, reason));
    }
    match text(header::ORIGIN) {
        Some(origin) if !origin.strip_prefix("http://").is_some_and(ours) => {
            Err(Reply::error(403, format!("a page of {origin} may not ask")))
        }
        _ => Ok(()),
    }
}

/// The token comes as `Authorization: Bearer`, or, of a picture, in its address.
fn check_token(request: &Request<Incoming>, token: &str) -> Result<(), Reply> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.and_then(|value| value.strip_prefix("Bearer "));
    let query = request.uri().query().unwrap_or_default();
    let query = query.split('&').find_map(|part| part.strip_prefix("token="));
    match [header, query].contains(&Some(token)) {
        true => Ok(()),
        false => {
            let reason = "the address has no token, or another: open the one that was printed";
            Err(Reply::error(403, reason))
        }
    }
}

/// Nor may another site's page show what is here as a picture of its own: a browser says where a request comes
/// from. Whoever follows a link to the page itself may.
fn check_site(headers: &HeaderMap, path: &str) -> Result<(), Reply> {
    let is = |name: &str, values: &[&str]| {
        headers.get(name).is_some_and(|value| values.iter().any(|v| value == v))
    };
    let is_link = path == "/" && is("sec-fetch-mode", &["navigate"]);
    match is("sec-fetch-site", &["cross-site", "same-site"]) && !is_link {
        true => Err(Reply::error(403, "another site's page may not ask")),
        false => Ok(()),
    }
}
