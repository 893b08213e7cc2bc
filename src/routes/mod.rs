//! Routes: from method and path to what a request means.
//!
//! A [`Catalogue`] is data: the routes of one API, and where that API keeps its
//! ids and secrets. A [`RouteTable`] is built from the catalogues of one log
//! source; [`RouteTable::find`] then answers in time that depends on the path
//! alone, without allocating. What a path must look like to be matched at all
//! is said in [`paths`].

pub mod catalogue;
pub mod explain;
mod learn;
mod meaning;
pub mod openapi;
pub mod paths;
mod problem;
mod reader;
pub mod route;
mod table;
mod trie;

pub use catalogue::{Catalogue, CatalogueFormat, PRESETS};
pub use learn::{About, Learn};
pub use meaning::{Action, Category};
pub use problem::{CatalogueFault, CatalogueProblem};
pub(crate) use route::is_safe;
pub use route::{Pointers, RequestVariants, Route, Settled, Variant, When};
pub use table::{Matched, RouteIndex, RouteTable};
