//! Where labels go, so that they cover neither each other nor what they are about.

use super::style::LABEL;

/// A rectangle: left, top, right, bottom.
pub(crate) type Frame = (i32, i32, i32, i32);

/// Where the left end of a label goes, at half its height.
pub(crate) type Place = (i32, i32);

/// The frame that a label fills.
fn frame((x, y): Place, text: &str) -> Frame {
    let width = text.chars().count() as i32 * LABEL.1;
    (x - 1, y - LABEL.0 / 2 - 1, x + width + 1, y + LABEL.0 / 2 + 2)
}

const fn overlap(a: Frame, b: Frame) -> i32 {
    let width = min(a.2, b.2) - max(a.0, b.0);
    let height = min(a.3, b.3) - max(a.1, b.1);
    if width > 0 && height > 0 { width * height } else { 0 }
}

const fn min(a: i32, b: i32) -> i32 {
    if a < b { a } else { b }
}

const fn max(a: i32, b: i32) -> i32 {
    if a > b { a } else { b }
}

/// Puts each label near its point, within `bounds`, where it overlaps the least: with labels so far,
/// with any point, with what is `taken`, and a little with the `lines`' points.
pub(crate) fn around(
    points: &[(Place, String)],
    bounds: Frame,
    taken: &[Frame],
    lines: &[Place],
) -> Vec<Place> {
    let mut frames = taken.to_vec();
    frames.extend(points.iter().map(|&((x, y), _)| (x - 7, y - 7, x + 7, y + 7)));
    let mut places = Vec::new();
    for (at, text) in points {
        let cost = |&place: &Place| {
            let own = frame(place, text);
            let covered: i32 = frames.iter().map(|&other| overlap(own, other)).sum();
            let crossed = |&&(x, y): &&Place| own.0 <= x && x <= own.2 && own.1 <= y && y <= own.3;
            let crossed = lines.iter().filter(crossed).count() as i32;
            let out = overlap(own, own) - overlap(own, bounds);
            let centre = ((own.0 + own.2) / 2, (own.1 + own.3) / 2);
            let nearest = (at.0.clamp(own.0, own.2), at.1.clamp(own.1, own.3));
            let far = (nearest.0 - at.0).abs() + (nearest.1 - at.1).abs();
            1_000 * (covered + out) + 60 * crossed + 20 * far + (centre.0 - at.0).abs() / 4
        };
        let place = candidates(*at, text).into_iter().min_by_key(cost).unwrap_or(*at);
        frames.push(frame(place, text));
        places.push(place);
    }
    places
}

/// Places beside, above and below a point, at several distances.
fn candidates((x, y): Place, text: &str) -> Vec<Place> {
    let width = text.chars().count() as i32 * LABEL.1;
    let mut places = Vec::new();
    for far in (0..120).step_by(6) {
        for left in [x + 10 + far, x - 10 - far - width] {
            places.extend((-far - 8..=far + 8).step_by(4).map(|up| (left, y + up)));
        }
        let left_to_right = || (x - width - far..=x + far).step_by(8);
        for top in [y - 17 - far, y + 17 + far] {
            places.extend(left_to_right().map(|left| (left, top)));
        }
    }
    places
}

/// Heights for labels in a column, in the order of their points' heights and close to them.
pub(crate) fn column(points: &[i32], top: i32, bottom: i32) -> Vec<i32> {
    const APART: i32 = LABEL.0 + 3;
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| points[i]);
    let mut heights = points.to_vec();
    let mut least = top;
    for &i in &order {
        heights[i] = heights[i].max(least);
        least = heights[i] + APART;
    }
    let mut most = bottom;
    for &i in order.iter().rev() {
        heights[i] = heights[i].min(most);
        most = heights[i] - APART;
    }
    heights
}
