//! How uneven the shares are, against the memory that it takes.

use std::error::Error;
use std::path::Path;

use equipoise_benches::hash::measure::PLOTTED;
use equipoise_benches::hash::record::Record;
use equipoise_benches::hash::subject::{Scope, Side, Structure};
use equipoise_benches::ours::Weights;
use plotters::prelude::*;

use super::labels::around;
use super::style::{FONT, INK, LABEL, PALE, colour, legend, mark, text, thousands};

const SIZE: (u32, u32) = (1_100, 720);

/// The ends of the axes: bytes, and percent.
const LEAST: f64 = 25.0;
const MOST: f64 = 45_000.0;
const LOWEST: f64 = 1.6;
const HIGHEST: f64 = 250.0;

/// Bytes a server, and how much more than the mean the fullest has, in percent.
fn point(record: &Record) -> Option<(f64, f64)> {
    Some((record.bytes?, 100.0 * (record.fine?.peak - 1.0)))
}

/// The setting of a row, or its whole name where it has none.
fn label(record: &Record) -> String {
    if record.side != Side::Ours {
        return record.name.clone();
    }
    let label = match &*record.name {
        "rendezvous table" | "maglev" => "65,536 slots",
        "ring" => "160 points",
        "multi-probe" => "21 probes 64 points",
        "anchor" => "anchor room 2 n",
        "nginx ring" => "nginx ring 160 points",
        name => {
            let setting = name.strip_prefix(record.structure.name()).map(str::trim);
            let single = matches!(record.structure, Structure::Anchor | Structure::Memento);
            setting.filter(|setting| !setting.is_empty() && !single).unwrap_or(name)
        }
    };
    // Thousands apart.
    label
        .replace("4096", "4,096")
        .replace("16384", "16,384")
        .replace("262144", "262,144")
        .replace("1048576", "1,048,576")
        .replace("1280", "1,280")
        .replace(" probes ", " probes, ")
}

/// Which settings a line joins; those that stand alone have none.
fn line_of(record: &Record) -> Option<(Structure, bool)> {
    use Structure::{Maglev, MultiProbe, RendezvousTable, Ring};
    let joined = matches!(record.structure, Maglev | RendezvousTable | Ring);
    let probes = record.structure == MultiProbe && !record.name.contains(" 5 probes");
    let ours = record.side == Side::Ours && record.name != "nginx ring";
    // Quotas take no memory, so their line goes down.
    let quota = record.name.contains("quota");
    ((joined || probes) && ours).then_some((record.structure, quota))
}

fn shown(record: &&Record) -> bool {
    record.servers == PLOTTED
        && record.weights == Weights::Equal
        && matches!(record.scope, Scope::All | Scope::Settings)
        && !["maglev 65537 slots", "memento one in eleven gone"].contains(&&*record.name)
        // With fewer keys, chance alone would lift a point.
        && record.fine.is_some_and(|fine| fine.keys >= 10_000_000 || fine.peak > 1.5)
}

/// Draws the plot.
pub(crate) fn draw(records: &[Record], file: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Balance against memory, 1,000 servers", (FONT, 20).into_font().color(&INK))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((LEAST..MOST).log_scale(), (LOWEST..HIGHEST).log_scale())?;
    chart
        .configure_mesh()
        .bold_line_style(PALE)
        .light_line_style(WHITE)
        .axis_style(INK)
        .label_style((FONT, LABEL.0).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc("memory, bytes a server (each has an address of 32 bytes in it)")
        .y_desc("the fullest server above the mean, %")
        .x_label_formatter(&|bytes| thousands(*bytes))
        .y_label_formatter(&|percent| format!("{percent} %"))
        .draw()?;

    // Between the powers of ten, of which alone the library's axes speak.
    for percent in [2.0, 5.0, 20.0, 50.0, 200.0] {
        let (x, y) = chart.backend_coord(&(LEAST, percent));
        let end = chart.backend_coord(&(MOST, percent)).0;
        area.draw(&PathElement::new(vec![(x, y), (end, y)], PALE))?;
        let label = format!("{percent} %");
        text(&area, (x - 10 - label.len() as i32 * LABEL.1, y), &label, LABEL.0)?;
    }
    for bytes in [30.0, 300.0, 3_000.0, 30_000.0] {
        let (x, y) = chart.backend_coord(&(bytes, LOWEST));
        let top = chart.backend_coord(&(bytes, HIGHEST)).1;
        area.draw(&PathElement::new(vec![(x, y), (x, top)], PALE))?;
        let label = thousands(bytes);
        text(&area, (x - label.len() as i32 * LABEL.1 / 2, y + 15), &label, LABEL.0)?;
    }

    let (shown, floor): (Vec<_>, Vec<_>) =
        records.iter().filter(shown).partition(|record| record.side != Side::Floor);
    let pixel = |record: &Record| Some(chart.backend_coord(&point(record)?));
    let (left, top) = chart.backend_coord(&(LEAST, HIGHEST));
    let (right, bottom) = chart.backend_coord(&(MOST, LOWEST));

    let (mut taken, mut crossed) = (Vec::new(), Vec::new());
    if let Some(&(_, at)) = floor.first().and_then(|record| pixel(record)).as_ref() {
        area.draw(&PathElement::new(vec![(left, at), (right, at)], colour(Structure::Floor)))?;
        let place = (right - 400, at + 12);
        text(
            &area,
            place,
            "what chance alone gives: a perfectly random split of the same keys",
            12,
        )?;
        taken.push((place.0, place.1 - 8, right, place.1 + 8));
        crossed.extend((left..right).step_by(8).map(|x| (x, at)));
    }

    let mut lines: Vec<(_, Vec<_>)> = Vec::new();
    for record in &shown {
        let (Some(line), Some(at)) = (line_of(record), pixel(record)) else { continue };
        match lines.iter_mut().find(|(other, _)| *other == line) {
            Some((_, points)) => points.push(at),
            None => lines.push((line, vec![at])),
        }
    }
    // The quotas' line begins at the table without any.
    let plain = shown.iter().find(|record| record.name == "rendezvous table");
    if let Some(at) = plain.and_then(|record| pixel(record)) {
        let quota = lines.iter_mut().find(|((_, quota), _)| *quota);
        quota.into_iter().for_each(|(_, points)| points.push(at));
    }
    for ((structure, quota), points) in &mut lines {
        points.sort_by_key(|&(x, y)| if *quota { (y, x) } else { (x, y) });
        for pair in points.windows(2) {
            let part = |i| {
                let along = |a: i32, b: i32| a + (b - a) * i / 40;
                (along(pair[0].0, pair[1].0), along(pair[0].1, pair[1].1))
            };
            crossed.extend((0..=40).map(part));
        }
        let style = colour(*structure).stroke_width(2);
        area.draw(&PathElement::new(points.clone(), style))?;
    }

    let structures = [
        Structure::RendezvousTable,
        Structure::Maglev,
        Structure::Rendezvous,
        Structure::Ring,
        Structure::MultiProbe,
        Structure::Anchor,
        Structure::Memento,
        Structure::Jump,
    ];
    let corner = (right - 160, top + 10);
    legend(&area, corner, &structures)?;
    taken.push((corner.0, corner.1, right, corner.1 + 200));

    let points: Vec<_> =
        shown.iter().filter_map(|record| Some((pixel(record)?, label(record)))).collect();
    let places = around(&points, (left + 4, top + 4, right - 4, bottom - 4), &taken, &crossed);
    for ((at, label), &place) in points.iter().zip(&places) {
        leader(&area, *at, place, label)?;
    }
    for record in &shown {
        if let Some(at) = pixel(record) {
            mark(&area, at, record.side, record.structure)?;
        }
    }
    for ((_, label), &place) in points.iter().zip(&places) {
        text(&area, place, label, LABEL.0)?;
    }
    area.present()?;
    Ok(())
}

/// A line from a point to its label, where that is not next to it.
fn leader(
    area: &super::style::Area<'_>,
    at: (i32, i32),
    place: (i32, i32),
    label: &str,
) -> Result<(), Box<dyn Error>> {
    let end = place.0 + label.chars().count() as i32 * LABEL.1;
    let (half, x) = (LABEL.0 / 2, at.0.clamp(place.0, end));
    let y = at.1.clamp(place.1 - half, place.1 + half);
    if (x - at.0).abs() + (y - at.1).abs() > 14 {
        area.draw(&PathElement::new(vec![at, (x, y)], colour(Structure::Floor)))?;
    }
    Ok(())
}
