"""The app in the loop: run on the incumbent, swapped, run on the candidate, and back again.

``copies`` apply the swap, ``home`` and ``process`` run the app's commands, contained by ``confine``
and bounded by ``disk`` and ``flood``; ``running`` and ``served`` are the ways to ask it. ``ways``
are its gateways, ``calls`` charges and records what comes through them; ``arm`` asks in place of a
plain asker, and ``exiting`` takes the steps of the exit. ``smallest`` leaves out the ``parts`` of
the swap one by one, to find those that no check needs.
"""
