pub fn chord() -> String {
    format!("a chord of {} Hz", tone::HERTZ)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_chord_names_its_tone() {
        assert_eq!(super::chord(), "a chord of 440 Hz");
    }
}
