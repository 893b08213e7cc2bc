//! Why a bucket did not take an object: from what came back, or did not, to the closed list of causes.

use super::unanswered::{chain, unanswered};
use crate::deliver::destination::{Advice, Cause, Created, PutError};
use crate::deliver::rest::{element, words};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::time::Duration;

/// What an answer says, whatever its form.
#[derive(Clone, Debug, Default)]
struct Said<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
    body: &'a [u8],
    location: Option<&'a str>,
    bucket_region: Option<&'a str>,
    retry_after: Option<&'a str>,
}

/// Judges the failure of a conditional write: a key that is taken is a success.
pub(super) fn judge<E>(error: SdkError<E, HttpResponse>) -> Result<Created, PutError>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error.raw_response() {
        Some(raw) if is_there(&said(raw, error.as_service_error())) => Ok(Created::AlreadyThere),
        _ => Err(refuse(error)),
    }
}

/// Judges the failure of any other request.
pub(super) fn refuse<E>(error: SdkError<E, HttpResponse>) -> PutError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error.raw_response() {
        Some(raw) => {
            let said = said(raw, error.as_service_error());
            // A success that can't be read is a success that was broken off or was none.
            if said.status < 300 && said.code.is_empty() {
                return PutError::new(Cause::ServerError, words(&chain(&error)));
            }
            answered(&said)
        }
        None => unanswered(&error),
    }
}

/// Judges what the library took for success. Something that answers 200 to everything is no store:
/// one gives its objects an ETag, and has nothing more to say.
pub(super) fn accept(tag: Option<&str>, body: &[u8]) -> Result<Created, PutError> {
    let text = body.trim_ascii_start();
    if text.starts_with(b"<") {
        let inner = element(text, "Code").unwrap_or_default();
        let message = element(text, "Message").unwrap_or_default();
        let said = Said { status: 200, code: inner, message, body, ..Said::default() };
        return if is_there(&said) { Ok(Created::AlreadyThere) } else { Err(answered(&said)) };
    }
    if tag.is_none_or(str::is_empty) {
        let words = "the answer says 200, but gives the object no ETag: is this an S3 endpoint?";
        return Err(PutError::new(Cause::ServerError, words));
    }
    Ok(Created::Created)
}

/// How long a deadline is, in words.
pub(super) fn show(limit: Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{} ms", limit.as_millis())
    }
}

fn said<'a, E: ProvideErrorMetadata>(raw: &'a HttpResponse, service: Option<&'a E>) -> Said<'a> {
    let body = raw.body().bytes().unwrap_or_default();
    let field = |name: &'static str| raw.headers().get(name);
    Said {
        status: raw.status().as_u16(),
        code: service.and_then(|error| error.code()).or_else(|| element(body, "Code")).unwrap_or_default(),
        message: service
            .and_then(|error| error.message())
            .or_else(|| element(body, "Message"))
            .unwrap_or_default(),
        body,
        location: field("location"),
        bucket_region: field("x-amz-bucket-region"),
        retry_after: field("retry-after"),
    }
}

/// A proxy's page with this status is not the store's word that the object is there.
fn is_there(said: &Said<'_>) -> bool {
    said.code == "PreconditionFailed"
        || said.status == 412 && said.code.is_empty() && said.body.trim_ascii().is_empty()
}

fn answered(said: &Said<'_>) -> PutError {
    let conflict = matches!(said.code, "ConditionalRequestConflict" | "OperationAborted");
    let advice = match said.retry_after.and_then(|seconds| seconds.trim().parse().ok()) {
        _ if conflict => Advice::Now,
        Some(seconds) => Advice::After(Duration::from_secs(seconds)),
        None => Advice::BackOff,
    };
    PutError { cause: cause(said), words: told(said), advice }
}

fn cause(said: &Said<'_>) -> Cause {
    let message = said.message.to_ascii_lowercase();
    let speaks = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match said.code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "InvalidSecurity"
        | "MissingSecurityHeader"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "NoSuchAccessKey"
        | "AuthorizationQueryParametersError" => Cause::Credentials,
        "AuthorizationHeaderMalformed" if speaks(&["region", "expecting"]) => Cause::WrongRegion,
        "AuthorizationHeaderMalformed" => Cause::Credentials,
        "AccessDenied" if speaks(&["explicit deny", "service control policy", "bucket policy"]) => {
            Cause::Policy
        }
        "AccessDenied" if speaks(&["request has expired", "not yet valid"]) => Cause::ClockSkew,
        "AccessDenied"
        | "AccessDeniedException"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "NotSignedUp"
        | "UnauthorizedAccess"
        | "Forbidden"
        | "KMS.AccessDeniedException" => Cause::Permission,
        "NoSuchBucket" | "InvalidBucketName" | "NoSuchAccessPoint" | "NoSuchKey" => Cause::NotFound,
        "NoSuchUpload" => Cause::ServerError,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "IncorrectEndpoint"
        | "InvalidRegion"
        | "IllegalLocationConstraintException"
        | "InvalidRegionName" => Cause::WrongRegion,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Cause::ExpiredToken,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Cause::ClockSkew,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "Busy"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "BandwidthLimitExceeded"
        | "XMinioServerNotInitialized"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Cause::Throttled,
        "QuotaExceeded"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "StorageFull"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "BucketQuotaExceeded"
        | "InsufficientAccountQuota" => Cause::Quota,
        "RequestTimeout" | "RequestTimeoutException" => Cause::Network,
        // It does not know the condition, and says so instead of passing over it.
        "NotImplemented" => Cause::IgnoresConditions,
        "MethodNotAllowed"
        | "KeyTooLongError"
        | "EntityTooLarge"
        | "EntityTooSmall"
        | "InvalidStorageClass"
        | "InvalidObjectState"
        | "InvalidObjectName"
        | "ObjectLocked"
        | "InvalidRetentionPeriod" => Cause::Policy,
        _ if speaks(&["quota", "no space left", "disk full", "not enough space", "storage full"]) => {
            Cause::Quota
        }
        code if code.starts_with("KMS.") => Cause::Policy,
        _ => by_status(said),
    }
}

fn by_status(said: &Said<'_>) -> Cause {
    match said.status {
        300..400 if said.bucket_region.is_some() => Cause::WrongRegion,
        // Not the store's own: something on the way sends elsewhere.
        300..400 | 407 | 408 => Cause::Network,
        400 if said.bucket_region.is_some() => Cause::WrongRegion,
        401 => Cause::Credentials,
        403 => Cause::Permission,
        404 => Cause::NotFound,
        405 | 413 => Cause::Policy,
        429 | 503 => Cause::Throttled,
        501 => Cause::IgnoresConditions,
        507 => Cause::Quota,
        _ => Cause::ServerError,
    }
}

/// The store's words: its message, or what can be said without repeating a page that
/// might hold anything, the request's own headers included.
fn told(said: &Said<'_>) -> String {
    let mut out = match (said.code, said.message) {
        ("", "") if said.body.trim_ascii().is_empty() => format!("status {} without a word", said.status),
        ("", "") => match element(said.body, "title") {
            Some(title) => format!("status {} with a page titled `{title}`", said.status),
            None => format!("status {} with {} bytes that are no S3 error", said.status, said.body.len()),
        },
        ("", message) => format!("status {}: {message}", said.status),
        (code, "") => format!("{code} (status {})", said.status),
        (code, message) => format!("{code}: {message}"),
    };
    if let Some(region) = said.bucket_region {
        out.push_str(&format!(" (the bucket is in {region})"));
    } else if let (300..400, Some(location)) = (said.status, said.location) {
        // Without its query, which may be signed.
        let location = location.split(['?', '#']).next().unwrap_or_default();
        out.push_str(&format!(" (redirects to {location})"));
    }
    words(&out)
}

#[cfg(test)]
mod tests;
