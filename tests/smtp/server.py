"""A mail server for the tests: prints its port, then each email that it takes as a line of JSON.

Where a certificate is named it offers STARTTLS and takes nothing before, or with --smtps speaks TLS from the beginning. Where
a password is named it takes nothing from who has not signed in."""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=0)
options.add_argument("--certificate")
options.add_argument("--key")
options.add_argument("--smtps", action="store_true")
options.add_argument("--password")
options.add_argument("--refuses", default="")
asked = options.parse_args()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address == asked.refuses:
            return f"550 5.1.1 <{address}> is nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        read = email.message_from_bytes(envelope.content, policy=email.policy.default)
        taken = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": read["Subject"],
            "text": read.get_content().replace("\r\n", "\n"),
            "raw": envelope.content.decode("utf-8", "replace"),
            "encrypted": session.ssl is not None or asked.smtps,
            "by": getattr(session, "signed_in_as", None),
        }
        print(json.dumps(taken), flush=True)
        return "250 OK"


def sign_in(server, session, envelope, mechanism, given):
    if given.password.decode() == asked.password:
        session.signed_in_as = given.login.decode()
        return AuthResult(success=True)
    return AuthResult(success=False, handled=False)


async def serve():
    tls = None
    if asked.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(asked.certificate, asked.key)
    upgrades = tls if not asked.smtps else None

    def connected():
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=upgrades,
            require_starttls=upgrades is not None,
            auth_required=asked.password is not None,
            auth_require_tls=upgrades is not None,
            authenticator=sign_in,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connected, "127.0.0.1", asked.port, ssl=tls if asked.smtps else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
