//! Bounds for answers: a store that is sick, or something that is no store at
//! all, must not fill the memory, and a page of HTML must not pass for success.

use aws_sdk_s3::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use http_body_util::Limited;
use std::sync::{Arc, Mutex, PoisonError};

/// An answer has at most this many bytes; real ones have a few hundred.
const MOST_BYTES: usize = 64 * 1024;

/// Watches the answer to one request. Clones watch together.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer(Arc<Mutex<Vec<u8>>>);

impl Answer {
    /// The body of an answer that the library took for success.
    pub(super) fn body(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for Answer {
    fn name(&self) -> &'static str {
        "bounded answers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let taken = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(taken, MOST_BYTES));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bytes) = context.response().body().bytes() {
            bytes.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }
}
