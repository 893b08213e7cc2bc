//! What Azure answers, to the closed list of causes.

use crate::deliver::destination::{Cause, Created, PutError};
use crate::deliver::rest::{Answer, element};

/// Judges the answer to a Put Blob. `expired`: whether the signature's own time is over.
pub(super) fn judge(answer: &Answer, expired: bool) -> Result<Created, PutError> {
    let code = answer.header("x-ms-error-code").or_else(|| element(&answer.body, "Code")).unwrap_or_default();
    match (answer.status, code) {
        (201, "") if answer.header("etag").is_some() => return Ok(Created::Created),
        (200..300, _) => {
            let words = format!("status {} without an ETag: is this a container of Azure?", answer.status);
            return Err(PutError::new(Cause::ServerError, words));
        }
        // A signature that may only create says it so.
        (409, "BlobAlreadyExists") | (403, "UnauthorizedBlobOverwrite") => return Ok(Created::AlreadyThere),
        _ => {}
    }
    // The first line; what follows is the request's id and time.
    let message = element(&answer.body, "Message").unwrap_or_default();
    let message = message.lines().next().unwrap_or_default();
    let detail = element(&answer.body, "AuthenticationErrorDetail").unwrap_or_default();
    // The detail can repeat the string that was to be signed, signatures left out: its first words say enough.
    let detail: String = detail.lines().next().unwrap_or_default().chars().take(160).collect();
    let message = if detail.is_empty() { message.to_owned() } else { format!("{message} ({detail})") };
    let mut words = answer.told(code, &message, "Azure error");
    if expired {
        words.push_str("; the shared access signature has run out");
    }
    Err(PutError { cause: cause(answer, code, &message, expired), words, advice: answer.advice() })
}

/// From "Status and error codes" and "Blob Storage error codes" of the REST reference.
fn cause(answer: &Answer, code: &str, message: &str, expired: bool) -> Cause {
    let message = message.to_ascii_lowercase();
    let speaks = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    match code {
        "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "AuthorizationFailure"
            if expired =>
        {
            Cause::ExpiredToken
        }
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => match () {
            () if speaks(&["token is expired", "lifetime validation failed"]) => Cause::ExpiredToken,
            () if speaks(&["not valid in the specified time frame", "date header", "too old"]) => {
                Cause::ClockSkew
            }
            () => Cause::Credentials,
        },
        "NoAuthenticationInformation" => Cause::Credentials,
        "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "AuthorizationServiceMismatch"
        | "AuthorizationResourceTypeMismatch" => Cause::Permission,
        // The emulator's word for a signature that does not fit.
        "AuthorizationFailure" if speaks(&["failed to authenticate"]) => Cause::Credentials,
        // A firewall or a rule of the account, whoever asks.
        "AuthorizationFailure"
        | "AuthorizationSourceIPMismatch"
        | "AuthorizationProtocolMismatch"
        | "KeyBasedAuthenticationNotPermitted"
        | "PublicAccessNotPermitted"
        | "AccountRequiresHttps"
        | "BlobImmutableDueToPolicy"
        | "RequestBodyTooLarge"
        | "InvalidBlobTier"
        | "LeaseIdMissing"
        | "FeatureVersionMismatch" => Cause::Policy,
        "AccountIsDisabled" => Cause::Permission,
        "ContainerNotFound"
        | "ContainerBeingDeleted"
        | "ContainerDisabled"
        | "ResourceNotFound"
        | "InvalidResourceName"
        | "InvalidUri"
        | "AccountBeingCreated" => Cause::NotFound,
        "ServerBusy" | "OperationTimedOut" | "TooManyRequests" => Cause::Throttled,
        "ConditionHeadersNotSupported" => Cause::IgnoresConditions,
        "InsufficientStorage" | "AccountLimitExceeded" | "MaxStorageLimitExceeded" => Cause::Quota,
        _ if speaks(&["quota", "capacity"]) => Cause::Quota,
        _ => answer.cause(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str, message: &str, expired: bool) -> Result<Created, PutError> {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:1\nTime:2</Message></Error>"
        );
        judge(&Answer { status, headers: http::HeaderMap::new(), body: body.into_bytes() }, expired)
    }

    /// Codes and messages as in Microsoft's reference of error codes of the Blob service.
    #[test]
    fn azures_answers_have_their_causes() {
        assert_eq!(
            said(409, "BlobAlreadyExists", "The specified blob already exists.", false),
            Ok(Created::AlreadyThere)
        );
        assert_eq!(
            said(
                403,
                "UnauthorizedBlobOverwrite",
                "This request is not authorized to perform blob overwrites.",
                false
            ),
            Ok(Created::AlreadyThere)
        );
        let failed = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.";
        for (status, code, message, expired, cause) in [
            (403, "AuthenticationFailed", failed, false, Cause::Credentials),
            (403, "AuthenticationFailed", failed, true, Cause::ExpiredToken),
            (
                403,
                "AuthenticationFailed",
                "The Date header in the request is incorrect.",
                false,
                Cause::ClockSkew,
            ),
            (
                401,
                "InvalidAuthenticationInfo",
                "Lifetime validation failed. The token is expired.",
                false,
                Cause::ExpiredToken,
            ),
            (
                403,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
                false,
                Cause::Permission,
            ),
            (
                403,
                "AuthorizationFailure",
                "This request is not authorized to perform this operation.",
                false,
                Cause::Policy,
            ),
            (
                403,
                "KeyBasedAuthenticationNotPermitted",
                "Key based authentication is not permitted on this storage account.",
                false,
                Cause::Policy,
            ),
            (404, "ContainerNotFound", "The specified container does not exist.", false, Cause::NotFound),
            (503, "ServerBusy", "Ingress is over the account limit.", false, Cause::Throttled),
            (
                500,
                "InternalError",
                "The server encountered an internal error. Please retry the request.",
                false,
                Cause::ServerError,
            ),
        ] {
            let error = said(status, code, message, expired).unwrap_err();
            assert_eq!(error.cause, cause, "{error}");
            assert!(!error.words.contains("RequestId"), "{error}");
        }
    }

    #[test]
    fn an_answer_that_is_not_azures_is_no_success() {
        let page =
            Answer { status: 200, headers: http::HeaderMap::new(), body: b"<html>hello</html>".to_vec() };
        assert_eq!(judge(&page, false).unwrap_err().cause, Cause::ServerError);
        let page = Answer { status: 201, ..page };
        assert_eq!(judge(&page, false).unwrap_err().cause, Cause::ServerError);
        let page = Answer { status: 409, ..page };
        assert_eq!(judge(&page, false).unwrap_err().cause, Cause::ServerError);
    }
}
