//! What emails say: that there is something, how much of it, of which service, and where to look. Nothing more may stand in one.

use std::fmt::Write as _;

use crate::store::{News, Says, TOLD_COUNTED};

/// The subject and the text of an email.
pub(super) fn of(says: &Says, public_url: &str, service_name: &str) -> (String, String) {
    match says {
        Says::Code(code) => (
            format!("Your code for emails from {service_name}"),
            format!(
                "{code} is the code that confirms this address for emails from {service_name}.\n\n\
                 Type it in where you asked for it, within 30 minutes:\n{public_url}/account/emails\n\n\
                 If you did not ask for it, you need do nothing: without the code nothing more is sent here.\n"
            ),
        ),
        Says::Test => (
            format!("Test email from {service_name}"),
            format!(
                "You asked {service_name} for a test email, and here it is. Emails reach you.\n\n{}",
                ends(public_url, service_name)
            ),
        ),
        Says::News(news, services) => {
            let total = total(services);
            let one = total == 1;
            let conversations = counted(total, "conversation", "conversations");
            let (subject, page) = match news {
                News::Mine => (
                    format!("{conversations} that you have taken {} new texts", if one { "has" } else { "have" }),
                    "/messages?show=unread&show=mine",
                ),
                News::Flagged => (
                    format!("{conversations} {} newly flagged texts", if one { "has" } else { "have" }),
                    "/messages?show=unread&flag=any",
                ),
                News::New | News::Escalated => {
                    (format!("{conversations} {} new texts", if one { "has" } else { "have" }), "/messages?show=unread")
                }
            };
            let text =
                format!("{subject} that nobody has read yet.\n\n{}", body(services, public_url, page, service_name));
            (subject, text)
        }
        Says::Escalated(minutes, services) => {
            let total = total(services);
            let texts = counted(total, "text", "texts");
            let subject = format!("{texts} may tell of danger and {} unread", if total == 1 { "is" } else { "are" });
            let waits = if *minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") };
            let text = format!(
                "{texts} may tell of danger to someone, and nobody has read {} for more than {waits}. Look now, or ask a colleague to.\n\n{}",
                if total == 1 { "it" } else { "them" },
                body(services, public_url, "/messages?show=unread&flag=danger", service_name)
            );
            (subject, text)
        }
    }
}

fn body(services: &[(String, i64)], public_url: &str, page: &str, service_name: &str) -> String {
    let mut list = String::new();
    for (service, count) in services {
        let _ = writeln!(list, "{service}: {}", figure(*count));
    }
    format!("{list}\nRead them here:\n{public_url}{page}\n\n{}", ends(public_url, service_name))
}

fn ends(public_url: &str, service_name: &str) -> String {
    format!(
        "No email from {service_name} says what was written or who wrote it. Choose which emails you get, or none, at\n\
         {public_url}/account/emails\n"
    )
}

fn total(services: &[(String, i64)]) -> i64 {
    services.iter().map(|(_, count)| count).sum()
}

fn counted(count: i64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {many}", figure(count)) }
}

fn figure(count: i64) -> String {
    if count >= TOLD_COUNTED { "1,000 or more".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_says_how_many_of_which_service_and_where_to_look() {
        let services = [("Council tax".to_owned(), 1), ("Housing benefit".to_owned(), 2)];
        let (subject, text) = of(&Says::News(News::New, services.to_vec()), "https://a.example", "Counterfoil");
        assert_eq!(subject, "3 conversations have new texts");
        let begins = "3 conversations have new texts that nobody has read yet.\n\nCouncil tax: 1\nHousing benefit: 2\n\n\
             Read them here:\nhttps://a.example/messages?show=unread\n\n";
        assert!(text.starts_with(begins) && text.ends_with("https://a.example/account/emails\n"), "{text}");
        let one = vec![("Council tax".to_owned(), 1)];
        assert_eq!(of(&Says::Escalated(1, one.clone()), "", "").0, "1 text may tell of danger and is unread");
        assert_eq!(of(&Says::News(News::Mine, one), "", "").0, "1 conversation that you have taken has new texts");
        let many = vec![("Council tax".to_owned(), TOLD_COUNTED)];
        assert_eq!(
            of(&Says::News(News::Flagged, many), "", "").0,
            "1,000 or more conversations have newly flagged texts"
        );
    }
}
