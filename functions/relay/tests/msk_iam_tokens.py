"""Tokens as AWS's own signer makes them, for the unit test of `src/kafka/msk_iam.rs`.

Without arguments it fails when `msk_iam_tokens.json` is not what the signer makes; `--write` makes the file anew.
Needs `aws-msk-iam-sasl-signer-python`. The keys are the examples of AWS's documentation.
"""

import json
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path
from unittest import mock

from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from botocore.credentials import CredentialProvider, Credentials

FILE = Path(__file__).with_suffix(".json")
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CASES = [
    ("eu-central-1", 1763978400, "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaDGV1+/=="),
    ("us-east-1", 1700000000, None),
]


class Given(CredentialProvider):
    def __init__(self, credentials):
        super().__init__()
        self.credentials = credentials

    def load(self):
        return self.credentials


def token(region, seconds, session_token):
    provider = Given(Credentials(ACCESS_KEY, SECRET_KEY, session_token))
    now = datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        made, _ = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(
            region, provider
        )
    return {
        "accessKey": ACCESS_KEY,
        "secretKey": SECRET_KEY,
        "sessionToken": session_token,
        "region": region,
        "seconds": seconds,
        "token": made,
    }


def main():
    made = json.dumps([token(*case) for case in CASES], indent=2) + "\n"
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(made)
    elif FILE.read_text() != made:
        sys.exit(f"{FILE} is not what AWS's signer makes: see what has changed, then --write it")
    else:
        print(f"{len(CASES)} tokens are as AWS's signer makes them")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    main()
