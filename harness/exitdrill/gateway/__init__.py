"""Any backend as an OpenAI-compatible endpoint on loopback: an unmodified app can be drilled.

An app is given a base URL and a key (a `Door`). Each of its calls is put to the backend, told to
the app as it comes, and handed on as a `Call` that holds the same `Exchange` as wire replay makes.
"""

from exitdrill.gateway.answer import Manner
from exitdrill.gateway.call import Call
from exitdrill.gateway.doors import HEADER, Door
from exitdrill.gateway.server import Gateway

__all__ = ["HEADER", "Call", "Door", "Gateway", "Manner"]
