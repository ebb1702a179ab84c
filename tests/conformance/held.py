# SPDX-License-Identifier: Apache-2.0
"""What stores hold that are judged."""

# What a secret store must hold to be judged: it stands in ${DIR}/secrets.json, in the environment that Init hands over, and
# is to be put by hand into any other store.
SECRETS = {"conform-plain": "swordfish", "conform-empty": "", "conform-text": 'größe "q" <&>\n', "conform-long": "x" * 20000}
