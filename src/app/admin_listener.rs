//! The admin listener's task.

use super::status::StatusView;
use crate::admin;
use crate::error_chain::Chain;
use crate::metrics::Families;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two attempts to take the admin address over from a predecessor.
const ADMIN_PAUSE: Duration = Duration::from_millis(250);

/// Serves the admin listener until told to stop. During an upgrade the predecessor still has
/// the address: it is taken as soon as it is free.
pub(super) async fn serve(
    address: SocketAddr,
    listener: Option<std::net::TcpListener>,
    view: Arc<StatusView>,
    metrics: Families,
    mut stop: watch::Receiver<bool>,
) {
    let mut stopped = stop.clone();
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
        admin::serve(listener, view as Arc<dyn admin::View>, metrics, shutdown).await
    };
    let result: io::Result<()> = tokio::select! {
        result = served => result,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    };
    if let Err(error) = result {
        tracing::error!(error = %Chain(&error), "the admin listener failed");
    }
}
