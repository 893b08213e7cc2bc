//! `onrecord demo`: its configuration and its words.

use super::signals::{Signals, run_until_stopped};
use super::traffic::Sent;
use super::{DemoArgs, log, print_error, sample, traffic};
use crate::app::Gateway;
use crate::config::{self, Config};
use crate::deliver::{DirOptions, Store};
use crate::proxy::{Place, UpstreamAddress};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How many requests the demo's own traffic has.
pub const REQUESTS: usize = 120;

/// The demo's configuration: a gateway as `proxy.toml` would say it, in a hurry.
const CONFIG: &str = r#"
instance = "demo"
[server]
workers = 2
grace = "2s"
flush = "5s"
[[source]]
name = "cma"
listen = "127.0.0.1:8080"
upstream = "http://127.0.0.1:9000"
catalogues = ["contentful-management"]
api_host = "api.contentful.com"
organization = "demo-organization"
[ring]
bytes = "4MiB"
[spool]
dir = "spool"
bytes = "256MiB"
segment_bytes = "16MiB"
[[destination]]
name = "folder"
type = "dir"
path = "objects"
interval = "2s"
heartbeat = "30s"
[log]
level = "warn"
"#;

/// Runs the demo until it is interrupted.
pub(super) fn demo(args: &DemoArgs) -> ExitCode {
    start(args).unwrap_or_else(|error| {
        print_error(&*error);
        ExitCode::FAILURE
    })
}

fn start(args: &DemoArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.dir)?;
    let signals = Signals::install()?;
    let sample = Sample::start()?;
    let config = config(args, sample.address)?;
    log::start(&config.log)?;
    let admin = config.admin.listen;
    let gateway = config.sources[0].options.listen[0].ip().expect("the demo listens on an address");
    let running = Gateway::start(config)?;
    print!("{}", banner(gateway, admin, sample.address, args));
    let traffic = if args.no_traffic { None } else { Some(send_traffic(gateway)?) };
    let code = run_until_stopped(signals, running, |_| {});
    if let Some(traffic) = traffic
        && traffic.join().is_err()
    {
        tracing::error!("the demo's traffic panicked");
    }
    sample.stop()?;
    Ok(code)
}

/// The demo's configuration, with the sample API at `upstream`.
///
/// # Errors
/// The problems of the built-in text: there are none, as a test shows.
pub fn config(args: &DemoArgs, upstream: SocketAddr) -> Result<Config, config::Problems> {
    let mut config = config::parse(Path::new("demo"), CONFIG)?;
    config.admin.listen = args.admin_listen.unwrap_or_else(|| preferred_or_free(9464));
    config.spool.dir = args.dir.join("spool");
    for source in &mut config.sources {
        source.options.listen = vec![args.gateway_listen.unwrap_or_else(|| preferred_or_free(8080)).into()];
        source.options.upstream.addresses = vec![UpstreamAddress {
            place: Place::Tcp { host: upstream.ip().to_string(), port: upstream.port() },
            authority: upstream.to_string(),
        }];
    }
    for destination in &mut config.destinations {
        destination.store = Store::Dir(DirOptions::new(&objects(args)));
    }
    Ok(config)
}

/// The sample API on a thread of its own.
#[derive(Debug)]
pub struct Sample {
    /// Where it listens.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Sample {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// What the system says, if there is no port or no thread to be had.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                sample::serve(listener, async { drop(stopped.await) }).await
            })
        };
        let thread = std::thread::Builder::new().name("sample-api".to_owned()).spawn(serve)?;
        Ok(Self { address, stop, thread })
    }

    /// Stops it. Stop the gateway first: what is connected may end its requests.
    ///
    /// # Errors
    /// What ended it before, if anything did.
    pub fn stop(self) -> std::io::Result<()> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the sample API panicked")))
    }
}

/// Sends the demo's traffic to a gateway on a thread of its own, and says how it went.
///
/// # Errors
/// What the system says, if there is no thread to be had.
pub fn send_traffic(gateway: SocketAddr) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let send = move || match runtime.block_on(traffic::traffic(&format!("http://{gateway}"), REQUESTS)) {
        Ok(Sent { answered, left }) => {
            println!(
                "{answered} requests were answered, {left} were left early on purpose: {} records.",
                answered + left
            );
        }
        Err(error) => print_error(&error),
    };
    std::thread::Builder::new().name("demo-traffic".to_owned()).spawn(send)
}

/// Where the demo's objects go.
#[must_use]
pub fn objects(args: &DemoArgs) -> PathBuf {
    args.dir.join("objects")
}

/// What the demo says once everything listens at these addresses.
#[must_use]
pub fn banner(gateway: SocketAddr, admin: SocketAddr, sample: SocketAddr, args: &DemoArgs) -> String {
    let objects = objects(args);
    let objects = objects.display();
    let traffic = if args.no_traffic {
        "Send a request; its record is in an object about three seconds later.".to_owned()
    } else {
        format!(
            "{REQUESTS} requests are being sent for you; the first objects are there in about three seconds."
        )
    };
    format!(
        "\
Onrecord demo: requests to the gateway go on the record.

  gateway   http://{gateway}   send requests here
  sample    http://{sample}   the API behind it: a sample, in memory
  admin     http://{admin}   /metrics /healthz /readyz /api/v1/status
  objects   {objects}   look here

{traffic}

  curl -i -H 'Authorization: Bearer my-token' http://{gateway}/spaces/demo/environments/master/entries

  duckdb -c \"SELECT \\\"event.start\\\", \\\"http.request.method\\\", \\\"http.route\\\", \\\"http.response.status_code\\\" \
FROM read_json('{objects}/log_source=cma/**/*.jsonl.gz') ORDER BY 1\"

Ctrl-C ends it; the objects stay.
"
    )
}

/// Loopback with this port if it is free, else with any that is.
fn preferred_or_free(port: u16) -> SocketAddr {
    let bind =
        |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    bind(port).or_else(|_| bind(0)).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_configuration_is_valid_and_without_warnings() {
        let args = DemoArgs {
            dir: "d".into(),
            no_traffic: false,
            gateway_listen: Some("127.0.0.1:1".parse().unwrap()),
            admin_listen: None,
        };
        let config = config(&args, "127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(config.warnings(), Vec::<String>::new());
        assert_eq!(config.sources[0].options.listen, ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!(config.sources[0].options.upstream.listed(), "http://127.0.0.1:9");
        assert_eq!(config.spool.dir, Path::new("d/spool"));
    }

    #[test]
    fn the_sample_starts_answers_and_stops() {
        let sample = Sample::start().unwrap();
        send_traffic(sample.address).unwrap().join().unwrap();
        sample.stop().unwrap();
    }
}
