"""What others than rustls make of the server's TLS: Python's ssl speaks one version at a time, and requests is what Notify sends with.

Arguments: the port, a file with the root to believe. One line of JSON on standard output.
"""

import json
import socket
import ssl
import sys
import warnings

import requests

warnings.simplefilter("ignore")
port, root, token = sys.argv[1:]


def speaks(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root)
    # By itself it would not ask for the old ones.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
                return encrypted.version()
    except ssl.SSLError as error:
        return error.reason


def posts(host, verify):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + token}
    body = b'{"id": "sent by requests", "status": "delivered"}'
    try:
        url = f"https://{host}:{port}/callbacks"
        return requests.post(url, data=body, headers=headers, verify=verify, timeout=5).status_code
    except requests.exceptions.SSLError:
        return "SSLError"


versions = ssl.TLSVersion
print(
    json.dumps(
        {
            "speaks": [speaks(v) for v in (versions.TLSv1, versions.TLSv1_1, versions.TLSv1_2, versions.TLSv1_3)],
            "posts": [posts("localhost", root), posts("localhost", True), posts("127.0.0.1", root)],
        }
    )
)
