//! The admin listener's task.

use super::StartError;
use crate::admin;
use crate::config::AdminOptions;
use crate::error_chain::Chain;
use crate::server::{Tls, TlsOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two attempts to take the admin address over from a predecessor.
const ADMIN_PAUSE: Duration = Duration::from_millis(250);
/// Between two looks at the files of its certificates.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the certificates that the admin listener shows, if it is to speak TLS.
///
/// # Errors
/// [`StartError::AdminTls`].
pub(super) fn tls(options: &AdminOptions) -> Result<Option<Arc<Tls>>, StartError> {
    if options.certificates.is_empty() {
        return Ok(None);
    }
    let tls = TlsOptions { certificates: options.certificates.clone(), ..TlsOptions::default() };
    Ok(Some(Arc::new(Tls::new(tls).map_err(StartError::AdminTls)?)))
}

/// Serves the admin listener until told to stop. During an upgrade the predecessor still has
/// the address: it is taken as soon as it is free.
pub(super) async fn serve(
    address: SocketAddr,
    listener: Option<std::net::TcpListener>,
    tls: Option<Arc<Tls>>,
    parts: admin::Parts,
    mut stop: watch::Receiver<bool>,
) {
    let mut stopped = stop.clone();
    let following = tls.clone();
    let served = async {
        let listener = match listener {
            Some(listener) => tokio::net::TcpListener::from_std(listener)?,
            None => loop {
                match tokio::net::TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(ADMIN_PAUSE).await,
                }
            },
        };
        let shutdown = async move {
            // An error says that the gateway is gone, which ends this too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        admin::serve(listener, tls, parts, shutdown).await;
        Ok::<(), std::io::Error>(())
    };
    let result = tokio::select! {
        result = served => result,
        () = follow(following) => Ok(()),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    };
    if let Err(error) = result {
        tracing::error!(error = %Chain(&error), "the admin listener failed");
    }
}

/// Follows the files of the certificates; never ends.
async fn follow(tls: Option<Arc<Tls>>) {
    let mut interval = tokio::time::interval(LOOK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(tls) = tls.clone() else { return std::future::pending().await };
        // Files may lie on a disk that hangs.
        if let Ok(Some(Err(error))) = tokio::task::spawn_blocking(move || tls.follow()).await {
            tracing::error!(
                error = %Chain(&error),
                "the admin listener's certificates have changed but cannot be used; the old ones stay"
            );
        }
    }
}
