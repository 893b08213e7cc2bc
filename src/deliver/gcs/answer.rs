//! What Google answers, to the closed list of causes.

use crate::deliver::destination::{Cause, Created, PutError};
use crate::deliver::rest::Answer;
use serde_json::Value;

/// Judges the answer to an upload of bytes with this CRC32C (in Base64).
pub(super) fn judge(answer: &Answer, crc32c: &str) -> Result<Created, PutError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if answer.status == 200 {
        return accept(&body, crc32c);
    }
    let error = &body["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (reason, message) = match error {
        // Of the token's check: {"error":"invalid_token",…}
        Value::String(code) => (code.clone(), text(&body["error_description"])),
        _ => (text(&error["errors"][0]["reason"]), text(&error["message"])),
    };
    // A page of a proxy with this status is not the store's word.
    if answer.status == 412 && (error["code"] == 412 || reason == "conditionNotMet") {
        return Ok(Created::AlreadyThere);
    }
    let words = answer.told(&reason, &message, "Google error");
    Err(PutError { cause: cause(answer, &reason, &message), words, advice: answer.advice() })
}

fn accept(body: &Value, crc32c: &str) -> Result<Created, PutError> {
    let Some(name) = body["name"].as_str().filter(|name| !name.is_empty()) else {
        let words = "status 200 without the object's description: is this Cloud Storage?";
        return Err(PutError::new(Cause::ServerError, words));
    };
    match body["crc32c"].as_str() {
        Some(theirs) if !theirs.is_empty() && theirs != crc32c => {
            let words = format!("the store holds other bytes under {name} than were sent (CRC32C)");
            Err(PutError::new(Cause::ServerError, words))
        }
        _ => Ok(Created::Created),
    }
}

/// From "HTTP status and error codes for JSON" of Cloud Storage.
fn cause(answer: &Answer, reason: &str, message: &str) -> Cause {
    let message = message.to_ascii_lowercase();
    let speaks = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    match reason {
        "authError" | "invalid_token" if speaks(&["expired"]) => Cause::ExpiredToken,
        "authError" | "required" | "invalid_token" if answer.status == 401 => Cause::Credentials,
        "vpcServiceControls"
        | "securityPolicyViolated"
        | "retentionPolicyNotMet"
        | "objectUnderActiveHold"
        | "invalidKmsKey"
        | "sslRequired"
        | "userProjectMissing"
        | "orgPolicy" => Cause::Policy,
        _ if answer.status == 403
            && speaks(&[
                "organization policy",
                "organization's policy",
                "vpc service controls",
                "constraint",
            ]) =>
        {
            Cause::Policy
        }
        "rateLimitExceeded" | "userRateLimitExceeded" | "concurrentRequestLimitExceeded" => Cause::Throttled,
        "quotaExceeded" | "dailyLimitExceeded" => Cause::Quota,
        "forbidden" | "insufficientPermissions" | "accountDisabled" | "countryBlocked" => Cause::Permission,
        "notFound" => Cause::NotFound,
        "backendError" | "internalError" => Cause::ServerError,
        _ => answer.cause(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Result<Created, PutError> {
        judge(&Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().to_vec() }, "4waSgw==")
    }

    /// In the form and with the reasons of Google's reference of status and error codes.
    #[test]
    fn googles_answers_have_their_causes() {
        let error = |code: u16, reason: &str, message: &str| {
            format!(
                "{{\"error\":{{\"errors\":[{{\"domain\":\"global\",\"reason\":\"{reason}\",\"message\":\"{message}\"}}],\"code\":{code},\"message\":\"{message}\"}}}}"
            )
        };
        let there =
            error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.");
        assert_eq!(said(412, &there), Ok(Created::AlreadyThere));
        for (status, reason, message, cause) in [
            (401, "authError", "Invalid Credentials", Cause::Credentials),
            (401, "required", "Login Required", Cause::Credentials),
            (
                403,
                "forbidden",
                "gw@p.iam.gserviceaccount.com does not have storage.objects.create access to the Google Cloud Storage object.",
                Cause::Permission,
            ),
            (403, "vpcServiceControls", "Request is prohibited by organization's policy.", Cause::Policy),
            (403, "retentionPolicyNotMet", "Object is subject to bucket's retention policy.", Cause::Policy),
            (404, "notFound", "The specified bucket does not exist.", Cause::NotFound),
            (429, "rateLimitExceeded", "The rate of requests is too high.", Cause::Throttled),
            (503, "backendError", "Backend Error", Cause::ServerError),
        ] {
            let error = said(status, &error(status, reason, message)).unwrap_err();
            assert_eq!(error.cause, cause, "{error}");
        }
    }

    #[test]
    fn an_answer_that_is_not_googles_is_no_success() {
        for (status, body) in
            [(200, "<html></html>"), (200, "{}"), (200, ""), (412, "<html></html>"), (204, "")]
        {
            assert_eq!(said(status, body).unwrap_err().cause, Cause::ServerError, "{status} {body}");
        }
        assert_eq!(said(200, "{\"name\":\"x\",\"crc32c\":\"4waSgw==\"}"), Ok(Created::Created));
        assert!(said(200, "{\"name\":\"x\",\"crc32c\":\"AAAAAA==\"}").unwrap_err().words.contains("CRC32C"));
    }
}
