//! What came out for one row and size, and the file that it is kept in.

use super::balance::{Balance, Needless};
use super::subject::{Entry, Scope, Side, Structure};
use crate::ours::Weights;
use crate::report::Figures;

/// The figures of one row and size. What was not measured is `None`.
#[derive(Clone, Debug)]
pub struct Record {
    /// The row's name.
    pub name: String,
    /// Whose it is.
    pub side: Side,
    /// What it is.
    pub structure: Structure,
    /// What was to be measured.
    pub scope: Scope,
    /// The servers' weights.
    pub weights: Weights,
    /// How many servers.
    pub servers: usize,
    /// A lookup, of many that can overlap.
    pub lookup: Option<Figures>,
    /// A lookup that waits for the one before.
    pub chained: Option<Figures>,
    /// Building.
    pub build: Option<Figures>,
    /// One server leaves or comes back.
    pub change: Option<Figures>,
    /// Heap, the list of addresses included, by server.
    pub bytes: Option<f64>,
    /// Over 10⁶ keys, or fewer where lookups are slow.
    pub balance: Option<Balance>,
    /// Over ten times the keys.
    pub fine: Option<Balance>,
    /// What moves.
    pub needless: Option<Needless>,
}

const COLUMNS: &str = "name,side,structure,scope,weights,servers,\
    lookup_ns,lookup_d1,lookup_d9,chained_ns,chained_d1,chained_d9,\
    build_ns,build_d1,build_d9,change_ns,change_d1,change_d9,bytes,\
    peak,low,keys,fine_peak,fine_low,fine_keys,needless_leave_percent,needless_join_percent";

impl Record {
    pub(crate) fn new(
        name: &str,
        side: Side,
        structure: Structure,
        scope: Scope,
        servers: usize,
    ) -> Self {
        Self {
            name: name.to_owned(),
            side,
            structure,
            scope,
            weights: Weights::Equal,
            servers,
            lookup: None,
            chained: None,
            build: None,
            change: None,
            bytes: None,
            balance: None,
            fine: None,
            needless: None,
        }
    }

    pub(crate) fn of(entry: &Entry, servers: usize) -> Self {
        let Entry { name, side, structure, scope, weights, .. } = *entry;
        Self { weights, ..Self::new(name, side, structure, scope, servers) }
    }

    /// A line of the file.
    fn line(&self) -> String {
        let weights = if self.weights == Weights::Equal { "1" } else { "1-5" };
        let mut fields = vec![
            self.name.clone(),
            self.side.name().to_owned(),
            self.structure.name().to_owned(),
            self.scope.name().to_owned(),
            weights.to_owned(),
            self.servers.to_string(),
        ];
        let mut push = |number: Option<f64>| {
            fields.push(number.map_or_else(String::new, |number| format!("{number:.4}")));
        };
        for figures in [self.lookup, self.chained, self.build, self.change] {
            push(figures.map(|figures| figures.median));
            push(figures.map(|figures| figures.spread.0));
            push(figures.map(|figures| figures.spread.1));
        }
        push(self.bytes);
        for balance in [self.balance, self.fine] {
            push(balance.map(|balance| balance.peak));
            push(balance.map(|balance| balance.low));
            push(balance.map(|balance| balance.keys as f64));
        }
        push(self.needless.map(|needless| needless.leave));
        push(self.needless.map(|needless| needless.join));
        fields.join(",")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let name = fields.next()?.to_owned();
        let side = Side::named(fields.next()?)?;
        let structure = Structure::named(fields.next()?)?;
        let scope = Scope::named(fields.next()?)?;
        let weights = if fields.next()? == "1" { Weights::Equal } else { Weights::OneToFive };
        let servers = fields.next()?.parse().ok()?;
        let numbers: Vec<Option<f64>> = fields.map(|field| field.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().flatten();
        let figures =
            |at| Some(Figures { median: number(at)?, spread: (number(at + 1)?, number(at + 2)?) });
        let balance = |at| {
            let (peak, low) = (number(at)?, number(at + 1)?);
            Some(Balance { peak, low, keys: number(at + 2)? as u64 })
        };
        let needless = |at| Some(Needless { leave: number(at)?, join: number(at + 1)? });
        Some(Self {
            name,
            side,
            structure,
            scope,
            weights,
            servers,
            lookup: figures(0),
            chained: figures(3),
            build: figures(6),
            change: figures(9),
            bytes: number(12),
            balance: balance(13),
            fine: balance(16),
            needless: needless(19),
        })
    }
}

/// The whole file.
pub fn to_csv(records: &[Record]) -> String {
    let lines = records.iter().map(Record::line);
    let lines: Vec<_> = std::iter::once(COLUMNS.to_owned()).chain(lines).collect();
    lines.join("\n") + "\n"
}

/// Reads what [`to_csv`] wrote; `None` if it is something else.
pub fn from_csv(text: &str) -> Option<Vec<Record>> {
    let mut lines = text.lines();
    if lines.next()? != COLUMNS {
        return None;
    }
    lines.map(Record::parse).collect()
}
