//! What it costs to find a route: among the rows of the largest preset, and
//! among ten thousand templates. The two must be about equal, since the work is
//! said not to depend on the number of rows.

#![allow(missing_docs, reason = "the macros of criterion make undocumented items")]

use criterion::{Criterion, criterion_group, criterion_main};
use onrecord::routes::{Catalogue, CatalogueFormat, RouteTable};
use std::fmt::Write as _;
use std::hint::black_box;

const PATHS: [(&str, &str, &str); 4] = [
    ("GET", "a list", "/spaces/p4lm9x2q7rts/environments/master/entries"),
    (
        "PUT",
        "an entry's publishing",
        "/spaces/p4lm9x2q7rts/environments/master/entries/6KntaYXaHSyIw8M6eo26OK/published",
    ),
    ("GET", "no route", "/spaces/p4lm9x2q7rts/environments/master/nothing/6KntaYXaHSyIw8M6eo26OK/here"),
    ("GET", "an odd path", "/spaces/p4lm9x2q7rts/environments/../environments/master/entries"),
];

fn find(criterion: &mut Criterion) {
    let preset = || Catalogue::preset("contentful-management").expect("the preset exists");
    let table = |catalogues: &[Catalogue]| {
        RouteTable::build(catalogues, "api.contentful.com").expect("the catalogues are sound")
    };
    let tables = [table(&[preset()]), table(&[preset(), many(10_000 - preset().len())])];
    for table in &tables {
        for (method, what, path) in PATHS {
            criterion.bench_function(&format!("{what} among {} routes", table.len()), |bencher| {
                bencher.iter(|| table.find(black_box(method.as_bytes()), black_box(path.as_bytes())));
            });
        }
    }
}

/// Rows beside those of the preset, on the way that its own paths take.
fn many(count: usize) -> Catalogue {
    let mut text = String::from("name = \"many\"\n");
    for number in 0..count {
        let template = format!("/spaces/:space/environments/:environment/made_up_{number}/:id");
        let _ = write!(
            text,
            "[[routes]]\nmethod = \"GET\"\ntemplate = \"{template}\"\nresource = \"R\"\naction = \"Read\"\n"
        );
    }
    Catalogue::parse("many", &text, CatalogueFormat::Toml).expect("the made-up rows are sound")
}

criterion_group!(benches, find);
criterion_main!(benches);
