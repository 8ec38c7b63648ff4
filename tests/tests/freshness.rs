//! Derived pages are what the engine would make of them now.

#[test]
fn derived_pages_are_fresh() {
    for page in xtask::pages::all() {
        let committed = std::fs::read_to_string(infer_tests::root().join(page.path));
        assert!(
            committed.is_ok_and(|text| text == page.text),
            "{} is stale: run `cargo xtask generate`",
            page.path
        );
    }
}
