//! What both plots look like.

use equipoise_benches::hash::subject::{Side, Structure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What is drawn on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Of all text.
pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Of grids and what is there for orientation.
pub(crate) const PALE: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Of all text.
pub(crate) const FONT: &str = "sans-serif";

/// The height of labels, and about how wide a letter is.
pub(crate) const LABEL: (i32, i32) = (13, 7);

/// Colours that colour-blind people can tell apart (Okabe and Ito, 2008), the yellow left out.
pub(crate) const fn colour(structure: Structure) -> RGBColor {
    match structure {
        Structure::RendezvousTable => RGBColor(0x00, 0x9e, 0x73),
        Structure::Maglev => RGBColor(0xd5, 0x5e, 0x00),
        Structure::Rendezvous => RGBColor(0x00, 0x00, 0x00),
        Structure::Ring => RGBColor(0x00, 0x72, 0xb2),
        Structure::MultiProbe => RGBColor(0xcc, 0x79, 0xa7),
        Structure::Anchor => RGBColor(0xe6, 0x9f, 0x00),
        Structure::Memento => RGBColor(0x56, 0xb4, 0xe9),
        Structure::Jump => RGBColor(0x88, 0x66, 0x44),
        Structure::Floor => RGBColor(0x88, 0x88, 0x88),
    }
}

/// A disc for ours, and a hollow square for others'.
pub(crate) fn mark(
    area: &Area<'_>,
    at: (i32, i32),
    side: Side,
    structure: Structure,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let colour = colour(structure);
    if side == Side::Ours {
        return area.draw(&Circle::new(at, 5, colour.filled()));
    }
    let corners = [(at.0 - 5, at.1 - 5), (at.0 + 5, at.1 + 5)];
    area.draw(&Rectangle::new(corners, WHITE.filled()))?;
    area.draw(&Rectangle::new(corners, colour.stroke_width(2)))
}

/// Text that begins at a point, and whose middle is at its height.
pub(crate) fn text(
    area: &Area<'_>,
    at: (i32, i32),
    text: &str,
    size: i32,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let style = TextStyle::from((FONT, size).into_font()).color(&INK);
    area.draw(&Text::new(text, at, style.pos(Pos::new(HPos::Left, VPos::Center))))
}

/// The marks, what they mean, and the structures' colours.
pub(crate) fn legend(
    area: &Area<'_>,
    at: (i32, i32),
    structures: &[Structure],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    const LINE: i32 = 19;
    let height = LINE * (structures.len() as i32 + 2) + 10;
    let corners = [at, (at.0 + 150, at.1 + height)];
    area.draw(&Rectangle::new(corners, WHITE.filled()))?;
    area.draw(&Rectangle::new(corners, PALE.stroke_width(1)))?;
    let line = |i: i32| (at.0 + 16, at.1 + 15 + LINE * i);
    let texts = |i| (line(i).0 + 14, line(i).1);
    mark(area, line(0), Side::Ours, Structure::Floor)?;
    text(area, texts(0), "Equipoise", LABEL.0)?;
    mark(area, line(1), Side::Peer, Structure::Floor)?;
    text(area, texts(1), "other crates", LABEL.0)?;
    for (&structure, i) in structures.iter().zip(2..) {
        let (x, y) = line(i);
        area.draw(&Rectangle::new([(x - 6, y - 4), (x + 6, y + 4)], colour(structure).filled()))?;
        text(area, texts(i), structure.name(), LABEL.0)?;
    }
    Ok(())
}

/// A number with its thousands apart.
pub(crate) fn thousands(number: f64) -> String {
    if number >= 1_000.0 { format!("{},000", number / 1_000.0) } else { format!("{number}") }
}
