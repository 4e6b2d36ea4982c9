"""More wordings of priorities, more closings and more cues, for the last stage.

Priorities had turned out to be what is read worst.
"""

# ruff: noqa: E501 (one phrase, one line)

from __future__ import annotations

PRIORITIES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "high": (
            "(I am|We are) (losing|about to lose) (money|customers|patience) (every minute|by the hour|right now).",
            "(Please|Could you) (solve|fix|sort out|deal with|settle) (it|this problem|the matter) (today|now|right away|within the day|before tonight).",
            "Somebody (has to|must) (help|act|answer|call) (me |us |)(now|today|immediately|at once).",
            "(Call|Phone|Ring|Answer) me (back |)(immediately|right now|today|as fast as you can|as soon as possible).",
            "(No|Not a single|Not one) (day|hour|minute) (can|may|should) be lost.",
            "(It|This) (can't|cannot|must not) (be put off|be delayed|be postponed)(| any longer| until next week| a day longer).",
            "(I|We) (have to|must|need to) (have|receive) (a reply|a solution|it|help) (before|by) (noon|this evening|midnight|tomorrow morning).",
            "Without (a solution|help|it) (today|now|at once) (we|I) (cannot|can't) (open|work|travel|go on).",
            "(Your|The|An) (immediate|urgent|quick) (help|reply|action) is (needed|required|necessary).",
            "Quick help (please|is needed), (time is short|the clock is ticking|it is critical|we are losing money).",
            "(A critical|An urgent|A very urgent) (case|matter|problem), (please act|please help|answer) (fast|now|today|at once).",
            "Give (it|this) (top|the highest|high) priority(| please).",
            "(We|I) have (no|hardly any|only little) time left.",
            "By (tonight|tomorrow|noon|this evening) (it|this|everything) must (be done|work|be solved).",
            "(This|It|The matter) is urgent (for us|for me|, so please help|because we cannot work).",
        ),
        "low": (
            "You (don't|do not|need not) (have to |need to |)(hurry|rush|answer soon).",
            "(I|We) (don't|do not) (need|expect) (it|an answer|a reply) (soon|today|this month).",
            "(Next month|Later|Some other day|In a few weeks) is (soon enough|fine too|also fine|quite early enough).",
            "(Just|Simply|Please) (reply|answer|write) (when it suits you|when there is time|when things are quiet|once you have a free minute).",
            "Nothing (depends|hangs) on it(|, so take your time|, there is time).",
            "(We|I) have (all the time in the world|lots of time|time until summer|enough time).",
            "(It|This) is (a trifle|a detail|a little matter|not important|only a detail).",
            "(Please |)(give|assign) (it|this) (a |the )(low|lowest) priority.",
            "(Other|More important) (things|cases|customers) (can|may|should) come first.",
            "Feel free to (wait|take a while|answer later|leave it for later).",
            "(There is|There's) (plenty of|enough|a lot of) time.",
            "(No|Without any) (pressure|haste|worries)(|, there is time|, it can wait|, really).",
            "Whenever (you find|there is|you have) (a moment|a quiet hour|some time), (please answer|write to me|have a look).",
            "I am (patient|relaxed about it|not waiting for it|fine with waiting).",
            "(It|This) (isn't|is not|was never) (so |very |that |)urgent (for me|to me|, it can wait).",
        ),
        "normal": (
            "(Send me|Give me|I would like) (a reply|an answer|news) (within|in) (a few days|the week|the usual time)(|, please).",
            "(This week|The next few days|A normal processing time|The usual time) would (do|be fine|suit me).",
            "(Please|Kindly) (treat|process|deal with) (this|it) (normally|as usual|as always|like other tickets).",
            "It would be (nice|kind|great) to (get|have) (an answer|news|a reply) (soon|this week|in the coming days).",
            "(I'd like|I would like) to (hear|read) (something|from you) (soon|this week|in the next few days).",
            "A (normal|regular|usual) (reply|treatment|priority|processing) will do.",
            "(It|This) is a (normal|usual|regular|standard) (case|matter|request).",
        ),
    },
    "de": {
        "high": (
            "(Ich verliere|Wir verlieren) (Geld|Kunden|die Geduld) (mit jeder Minute|jede Stunde|gerade jetzt).",
            "Bitte (lösen|beheben|klären|erledigen) Sie (es|das Problem|die Sache) (heute|jetzt|sofort|heute noch|umgehend).",
            "Jemand muss (mir |uns |)(jetzt|heute|sofort|umgehend) (helfen|beistehen).",
            "Rufen Sie (mich |uns |)(bitte |)(sofort|umgehend|noch heute|jetzt|schnellstens) (an|zurück).",
            "(Kein|Nicht ein) Tag darf (mehr |)(verloren gehen|vergehen).",
            "(Es|Das) (kann|darf) nicht (länger |)(aufgeschoben werden|liegen bleiben)(| bis nächste Woche).",
            "(Ich muss|Wir müssen) (bis Mittag|bis morgen früh|bis Mitternacht|heute noch) (eine Lösung|Hilfe|eine Antwort) (bekommen|erhalten).",
            "Ohne (Lösung|Hilfe) (heute|jetzt|sofort) (können wir|kann ich) nicht (öffnen|arbeiten|reisen|weitermachen).",
            "(Ihre|Eine) (sofortige|dringende|schnelle) (Hilfe|Antwort|Lösung) ist (nötig|erforderlich|notwendig).",
            "Schnelle Hilfe (bitte|ist nötig), (die Zeit drängt|die Uhr tickt|es ist kritisch|wir verlieren Geld).",
            "(Ein kritischer|Ein dringender|Ein sehr dringender) Fall, bitte (handeln|helfen|antworten) Sie (schnell|jetzt|heute|sofort).",
            "Geben Sie (dem|der Sache) (bitte |)(höchste|hohe|die höchste) Priorität.",
            "(Wir haben|Ich habe) (keine|kaum noch|nur wenig) Zeit mehr.",
            "Bis (heute Nacht|morgen|Mittag) muss (es|das|alles) (erledigt|gelöst|behoben) sein.",
            "(Die Sache|Das|Es) ist dringend (für uns|für mich|, helfen Sie bitte|, weil wir nicht arbeiten können).",
            "Ich (benötige|brauche|will) (dafür |hier |dazu |)(umgehend|sofort|jetzt|heute|gleich) (eine Antwort|Unterstützung|einen Rückruf|Hilfe)(| von Ihnen| in dieser Sache).",
        ),
        "low": (
            "Sie (brauchen|müssen) (sich |)(nicht zu eilen|nicht zu hetzen|nicht so schnell antworten|nicht hetzen).",
            "(Ich brauche|Wir brauchen|Ich erwarte) (es|die Antwort|eine Antwort) nicht (bald|heute|diesen Monat).",
            "(Nächster Monat|Später|Ein anderer Tag|In ein paar Wochen) ist (auch gut|noch rechtzeitig|auch in Ordnung).",
            "(Antworten|Schreiben) Sie (einfach|ruhig), wenn (es Ihnen passt|es ruhiger ist|Sie Luft haben|einmal Zeit ist).",
            "Davon hängt nichts ab(|, also in aller Ruhe|, es ist Zeit).",
            "(Wir haben|Ich habe) (alle Zeit der Welt|jede Menge Zeit|Zeit bis zum Sommer|genug Zeit).",
            "Das ist (eine Lappalie|ein Detail|eine Nebensache|nicht wichtig|nur ein Detail).",
            "Geben Sie (dem|der Sache) (bitte |)(niedrige|geringe|die niedrigste) Priorität.",
            "(Anderes|Wichtigeres|Andere Fälle) (kann|darf|können|dürfen) (zuerst|vorher) (kommen|drankommen).",
            "Sie (dürfen|können) (gern|ruhig) (warten|später antworten|es liegen lassen|damit warten).",
            "(Es ist|Da ist) (reichlich|genug|viel) Zeit.",
            "(Kein Druck|Ohne Druck|Ohne Hast|Keine Hast)(|, es ist Zeit|, es kann warten|, wirklich).",
            "(Wenn|Sobald|Falls) (Sie einen Moment haben|einmal Ruhe ist|Sie etwas Zeit haben), (antworten Sie bitte|schreiben Sie mir|sehen Sie nach).",
            "Ich bin (geduldig|da entspannt|nicht in Eile|mit Warten einverstanden).",
            "(Es|Das|Die Sache) ist (für mich |)(nicht so|nicht sehr|nie|nicht besonders) (dringend|eilig)(|, es kann warten).",
        ),
        "normal": (
            "(Schicken|Senden) Sie mir (eine Antwort|eine Nachricht) (in ein paar Tagen|im Laufe der Woche|in der üblichen Zeit)(|, bitte).",
            "(Diese Woche|In den nächsten Tagen|Die übliche Zeit|Eine normale Bearbeitung) (wäre recht|passt mir|genügt mir).",
            "Bitte (behandeln|bearbeiten|erledigen) Sie (das|es) (normal|wie immer|wie gewohnt|wie andere Tickets).",
            "Es wäre (schön|nett|toll), (bald|diese Woche|in den kommenden Tagen) eine (Antwort|Nachricht) zu (bekommen|haben).",
            "Ich würde (gern|gerne) (bald|diese Woche|in den nächsten Tagen) (etwas hören|etwas lesen|Antwort haben).",
            "Eine (normale|reguläre|übliche) (Antwort|Priorität|Bearbeitung) genügt.",
            "(Es|Das) ist (ein normaler|ein üblicher|ein gewöhnlicher) (Fall|Vorgang).",
        ),
    },
}

CLOSINGS: dict[str, tuple[str, ...]] = {
    "en": (
        "(I await|I am waiting for|Hoping for|Awaiting) (your reply|an answer|news|your mail).",
        "Thanks (a lot |so much |)for (reading|caring|your time|listening|the trouble).",
        "(Write|Mail|Get back) to me, please.",
        "(I hope|We hope) (this helps|you understand|for your help|to be helped|that you can do something).",
        "I (count|rely) on you.",
    ),
    "de": (
        "(Ich erwarte|Ich warte auf|In Erwartung von) (Ihre Nachricht|Antwort|eine Mail|Ihr Schreiben).",
        "Danke (fürs Lesen|für Ihre Zeit|fürs Zuhören|für die Mühe|, dass Sie sich kümmern).",
        "(Schreiben|Mailen) Sie mir bitte(| wieder| einmal).",
        "(Ich hoffe|Wir hoffen), (das hilft|Sie verstehen das|auf Hilfe|dass Sie etwas tun können).",
        "Ich (zähle|baue) auf Sie.",
    ),
}

# What may announce a customer or a reference, beside the cues of the rough tickets.
CUES: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "intros": (
            "known as",
            "it's me",
            "myself",
            "the customer",
            "account holder",
            "under the name",
            "registered as",
            "written by",
            "speaking",
            "my full",
        ),
        "refs": ("file", "request", "number", "the number", "matter", "about", "under", "it is"),
    },
    "de": {
        "intros": (
            "bekannt als",
            "ich selbst",
            "der Kunde",
            "die Kundin",
            "Kontoinhaber",
            "unter dem Namen",
            "registriert als",
            "geschrieben von",
            "am Apparat",
            "von mir",
        ),
        "refs": (
            "Anfrage",
            "Fall",
            "Nummer",
            "die Nummer",
            "Sache",
            "zu",
            "unter",
            "es ist",
            "als",
        ),
    },
}
