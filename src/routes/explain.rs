//! Why a request takes the route that it takes.

use super::catalogue::template_segments;
use super::paths;
use super::table::{RouteIndex, RouteTable};

/// How a route stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the one.
    Taken,
    /// Its template fits, and another's segment of this number (from 1) is fixed where this one
    /// has a placeholder.
    LessPrecise {
        /// The segment.
        segment: usize,
    },
    /// Its template fits, and the one taken is for the source's own host.
    OtherHost,
    /// Its template fits, its method does not.
    OtherMethod,
    /// The path leaves its template at this segment (from 1).
    LeavesAt {
        /// The segment.
        segment: usize,
    },
}

/// The routes that come into question for a request, the one taken first, then those that fit
/// and gave way; where none fits, at most `nearest` of those that go along furthest.
#[must_use]
pub fn explain(table: &RouteTable, method: &str, path: &str, nearest: usize) -> Vec<(RouteIndex, Standing)> {
    let taken = table.find(method.as_bytes(), path.as_bytes()).map(|matched| matched.route);
    let Some(segments) = paths::segments(path.as_bytes(), paths::MAX_SEGMENTS) else { return Vec::new() };
    let method = if method == "HEAD" { "GET" } else { method };
    let mut fitting = Vec::new();
    let mut leaving = Vec::new();
    for (route, number) in table.routes().iter().zip(0u32..) {
        let index = RouteIndex(number);
        let template = template_segments(&route.template);
        let along = template
            .iter()
            .zip(&segments)
            .take_while(|(wanted, segment)| wanted.starts_with(':') || wanted.as_bytes() == **segment)
            .count();
        if along < template.len() || template.len() != segments.len() {
            if route.method == method && along > 0 {
                leaving.push((along, (index, Standing::LeavesAt { segment: along + 1 })));
            }
            continue;
        }
        let standing = match taken {
            Some(taken) if taken == index => Standing::Taken,
            _ if route.method != method => Standing::OtherMethod,
            Some(taken) => {
                let better = template_segments(&table.route(taken).template);
                let first = template
                    .iter()
                    .zip(&better)
                    .position(|(own, other)| own.starts_with(':') && !other.starts_with(':'));
                first.map_or(Standing::OtherHost, |at| Standing::LessPrecise { segment: at + 1 })
            }
            None => Standing::OtherHost,
        };
        fitting.push((index, standing));
    }
    fitting.sort_by_key(|(index, standing)| {
        (*standing != Standing::Taken, *standing == Standing::OtherMethod, *index)
    });
    if fitting.is_empty() {
        leaving.sort_by_key(|(along, (index, _))| (std::cmp::Reverse(*along), *index));
        fitting.extend(leaving.into_iter().take(nearest).map(|(_, found)| found));
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Catalogue;

    #[test]
    fn the_route_taken_comes_first_and_each_other_says_why_it_gave_way() {
        let catalogue = Catalogue::preset("contentful-management").unwrap();
        let table = RouteTable::build(&[catalogue], "api.contentful.com").unwrap();
        let told = |method, path| -> Vec<(String, Standing)> {
            let found = explain(&table, method, path, 2);
            found
                .into_iter()
                .map(|(index, standing)| (table.route(index).template.clone(), standing))
                .collect()
        };
        let runs = told("GET", "/spaces/s/environments/e/ai/agents/runs");
        assert_eq!(runs[0].1, Standing::Taken);
        assert!(runs.contains(&(
            "/spaces/:space/environments/:environment/ai/agents/:agent".to_owned(),
            Standing::LessPrecise { segment: 7 }
        )));
        let patch = told("PATCH", "/users/me");
        assert!(patch.iter().all(|(_, standing)| *standing == Standing::OtherMethod) && !patch.is_empty());
        let nothing = told("GET", "/spaces/s/environments/e/nothing");
        assert_eq!(nothing.len(), 2);
        assert!(
            nothing.iter().all(|(_, standing)| *standing == Standing::LeavesAt { segment: 5 }),
            "{nothing:?}"
        );
        assert!(told("GET", "/a//b").is_empty());
    }
}
