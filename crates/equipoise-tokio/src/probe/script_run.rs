//! A script under way.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pattern::Found;
use super::script::Step;
use super::talk::Line;
use super::wire::close;
use super::{Answer, ProbeError, Script, Unmet};
use crate::excerpt::excerpt_bytes;

/// How far a script has come. It outlives the future that goes on with it, to say so.
pub(super) struct Run<'a> {
    steps: &'a [Step],
    /// The index of the step under way; there is none before there is a connection.
    at: Option<usize>,
    /// What came and no step has taken.
    came: Vec<u8>,
    /// How many bytes came in all.
    read: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(steps: &'a [Step]) -> Self {
        Self { steps, at: None, came: Vec::new(), read: 0 }
    }

    /// Does all steps over a connection that is yet to be opened.
    pub(super) async fn all(
        &mut self,
        open: impl Future<Output = Result<Line, ProbeError>>,
    ) -> Result<Answer, ProbeError> {
        let mut line = open.await?;
        for (index, step) in self.steps.iter().enumerate() {
            self.at = Some(index);
            match step {
                Step::Send(bytes) => {
                    let sent = async {
                        line.wire.write_all(bytes).await?;
                        line.wire.flush().await
                    };
                    if let Err(error) = sent.await {
                        return Err(self.broken(error.into()));
                    }
                }
                Step::Expect { pattern, within } => {
                    let mut old = 0;
                    let taken = loop {
                        let seen = self.came.len().min(*within);
                        match pattern.find(&self.came[..seen], old) {
                            Found::Yes(taken) => break taken,
                            Found::Never => return Err(self.failed(Unmet::Differs)),
                            Found::NotYet if seen == *within => {
                                return Err(self.failed(Unmet::NotWithin(*within)));
                            }
                            Found::NotYet => old = seen,
                        }
                        self.read_more(&mut line).await?;
                    };
                    self.came.drain(..taken);
                }
            }
        }
        close(line.wire).await;
        Ok(Answer::Pass)
    }

    /// What to say when the time is over.
    pub(super) fn out_of_time(&self) -> ProbeError {
        match self.at {
            Some(_) => self.failed(Unmet::TimedOut),
            None => ProbeError::TimedOut,
        }
    }

    async fn read_more(&mut self, line: &mut Line) -> Result<(), ProbeError> {
        let room = Script::MAX_READ - self.read;
        if room == 0 {
            return Err(self.failed(Unmet::NotWithin(Script::MAX_READ)));
        }
        // One read, straight into `came`: what has come is there when the time is over.
        match (&mut line.wire).take(room as u64).read_buf(&mut self.came).await {
            Ok(0) => Err(self.failed(Unmet::Closed)),
            Ok(count) => {
                self.read += count;
                Ok(())
            }
            Err(error) => Err(self.broken(line.meter.excess().unwrap_or_else(|| error.into()))),
        }
    }

    fn broken(&self, error: ProbeError) -> ProbeError {
        match error {
            error if error.is_local() => error,
            // TLS that ends without saying so is an end as well.
            ProbeError::CutShort => self.failed(Unmet::Closed),
            error => self.failed(Unmet::Broken(error.to_string().into())),
        }
    }

    fn failed(&self, why: Unmet) -> ProbeError {
        let index = self.at.unwrap_or(0);
        ProbeError::Step {
            step: index + 1,
            doing: self.steps[index].to_string().into(),
            why,
            came: excerpt_bytes(&self.came).into(),
        }
    }
}
