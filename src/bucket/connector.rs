//! The library's requests by the gateway's own way out.

use crate::egress::{CallError, Client, Route};
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body_util::{BodyExt as _, Limited};
use std::time::Duration;

/// A client by this route, whose answers have at most so many bytes.
///
/// # Errors
/// [`CallError::Trust`].
pub(super) fn http_client(route: &Route, most_bytes: Option<usize>) -> Result<SharedHttpClient, CallError> {
    let client = Client::new(route)?;
    Ok(http_client_fn(move |settings, _| {
        let connector = Connector { client: client.clone(), answer: settings.read_timeout(), most_bytes };
        SharedHttpConnector::new(connector)
    }))
}

#[derive(Debug)]
struct Connector {
    client: Client,
    /// For the head of an answer.
    answer: Option<Duration>,
    most_bytes: Option<usize>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, answer, most_bytes) = (self.client.clone(), self.answer, self.most_bytes);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = request.map(|body: SdkBody| body.boxed_unsync());
            let call = client.call(request);
            let response = match answer {
                None => call.await,
                Some(limit) => tokio::time::timeout(limit, call)
                    .await
                    .map_err(|error| ConnectorError::timeout(error.into()))?,
            };
            let response = response.map_err(|error| ConnectorError::io(error.into()))?;
            let body = |body| match most_bytes {
                Some(limit) => SdkBody::from_body_1_x(Limited::new(body, limit)),
                None => SdkBody::from_body_1_x(body),
            };
            HttpResponse::try_from(response.map(body))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
