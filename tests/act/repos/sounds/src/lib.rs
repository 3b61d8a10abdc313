pub fn chord() -> String {
    "a chord from beside".to_owned()
}
