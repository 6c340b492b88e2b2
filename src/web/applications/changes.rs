//! What is done to the bodies of an application's answers, and what is counted of it.

use crate::web::applications::coding::Coding;
use crate::web::applications::loader::Loader;
use crate::web::applications::loader::Script;
use crate::web::applications::page::Outcome;
use crate::web::applications::page::Page;
use crate::web::applications::response::Plan;
use crate::web::applications::rewriting::Rewriter;
use crate::web::applications::Application;
use crate::web::library;

impl Application {
    /// What changes the body, and how it is compressed.
    pub(super) fn rewriter(&self, plan: &Plan) -> Option<(Rewriter, Coding)> {
        match plan {
            Plan::Pass(_) => None,
            Plan::Page {
                coding,
                nonce,
                is_document,
                ..
            } => {
                let nonce = nonce
                    .as_ref()
                    .map_or_else(String::new, |nonce| format!(" nonce=\"{nonce}\""));
                // Where a document is sandboxed or asks for integrity, only what may be read across origins counts as checked.
                let tag = format!(
                    "<script src=\"{}\" integrity=\"{}\" crossorigin{nonce}></script>",
                    library::SCRIPT,
                    self.hash
                );
                let page = Page::new(
                    tag,
                    library::SCRIPT,
                    *is_document,
                    self.config.tag_bytes.get(),
                );
                Some((Rewriter::Page(Box::new(page)), *coding))
            }
            Plan::Script { coding, loader } => {
                let address = match loader {
                    Loader::Module => INSTALL,
                    Loader::Worker => library::SCRIPT,
                };
                Some((Rewriter::Script(Script::new(*loader, address)), *coding))
            }
        }
    }

    /// Counts what became of a page or script when it has passed.
    pub(super) fn ended(&self, plan: &Plan) -> impl FnOnce(Option<Outcome>) + 'static {
        let counts = self.counts.clone();
        let connects = !matches!(
            plan,
            Plan::Page {
                connects: false,
                ..
            }
        );
        move |outcome| {
            counts.page(match outcome {
                None => "loader",
                Some(Outcome::Inserted) if connects => "inserted",
                Some(Outcome::Inserted) => "inserted_without_config",
                Some(Outcome::Fragment) => "fragment",
                Some(Outcome::Charset) => "charset",
                Some(Outcome::TooLong) => "too_long",
            });
        }
    }
}

/// The module that replaces `WebSocket` when it is imported.
const INSTALL: &str = "/_smeuse/install.mjs";
