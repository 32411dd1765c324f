//! Draws what `hash` has measured: balance against memory, and lookups against size.

mod balance;
mod labels;
mod lookup;
mod style;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use equipoise_benches::hash::record::from_csv;

const HELP: &str = "\
usage: plots CSV FOLDER
  CSV       what `hash --csv` wrote
  FOLDER    where balance-against-memory.svg and lookup-against-size.svg go";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [csv, folder] = &arguments[..] else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    if let Err(error) = draw(csv, folder.as_ref()) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn draw(csv: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(csv)?;
    let records = from_csv(&text).ok_or("not a file that `hash --csv` wrote")?;
    std::fs::create_dir_all(folder)?;
    balance::draw(&records, &folder.join("balance-against-memory.svg"))?;
    lookup::draw(&records, &folder.join("lookup-against-size.svg"))
}
