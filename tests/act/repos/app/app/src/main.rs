fn main() {
    println!("{}", sounds::chord());
}
