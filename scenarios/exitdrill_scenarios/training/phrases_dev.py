"""The phrase books of the dev set: a third set of words, on which models and settings are chosen."""

# ruff: noqa: E501, SIM905 (one phrase, one line; names as words)

from __future__ import annotations

from .phrases import Book

ENGLISH = Book(
    greetings=("Hello support,", "Dear all,", "Hey there,"),
    intros=(
        "I am called {name}.",
        "You have me on file as {name}.",
        "Hello from {name}.",
        "My name: {name}.",
        "I'm your customer {name}.",
    ),
    signoffs=(
        "Kindest regards\n{name}",
        "Best wishes from {name}",
        "Thanks again\n{name}",
        "Yours truly\n{name}",
    ),
    refs=(
        "It has the case number {ref}.",
        "My reference: {ref}.",
        "The ticket I opened is {ref}.",
        "I was given {ref} as ticket number.",
        "Please look under reference {ref}.",
    ),
    both=(
        "I am {name}, ticket number {ref}.",
        "Customer name {name}, reference number {ref}.",
        "My case is {ref} and my name is {name}.",
    ),
    heads=(
        "Concerning my ticket {ref}: {problem}.",
        "Subject: reference {ref}\n{problem}.",
        "{problem}, my case is {ref}.",
    ),
    distractors=(
        "Your colleague, {person}, has seen the papers.",
        "My brother {person} helped me to write this.",
        "On {date} I talked to {person} on the hotline.",
        "I transferred {amount} to you.",
        "It was bought on {date}.",
        "My mobile is {phone}.",
        "The number of the order is {order}.",
    ),
    closings=("Thanks for everything.", "I wait for your answer."),
    problems={
        "billing": (
            "I found an error on the bill of last month",
            "You have billed me twice",
            "The invoice is much too high",
            "I got charged for a service that I do not use",
            "Please send the invoice again, the price is wrong",
        ),
        "delivery": (
            "The parcel that I ordered never came",
            "My shipment is late again",
            "The driver delivered the package to somebody else",
            "I ask myself where my delivery is",
            "The courier has lost our parcel",
        ),
        "login": (
            "I get the error wrong password all the time",
            "My login does not work any more",
            "Please unlock my user account",
            "Signing in to the portal is not possible",
            "I forgot what my password was",
        ),
        "refund": (
            "Please give me my money back",
            "I am still waiting for the refund",
            "After the return I got no refund at all",
            "I want the amount refunded",
            "My refund is too low",
        ),
        "defect": (
            "My machine is damaged and makes loud noises",
            "The screen of my phone is cracked",
            "The product does not work and is defective",
            "The new device came broken",
            "I want you to repair the faulty printer",
        ),
        "cancellation": (
            "I would like my membership to be cancelled",
            "Please end this contract",
            "I am going to terminate the plan",
            "My notice for the subscription was not confirmed",
            "I decided to cancel the contract with you",
        ),
    },
    priorities={
        "high": (
            "Please hurry, this is urgent.",
            "I need this solved immediately.",
            "It is an emergency, please help now.",
            "This cannot wait.",
            "Please call today, our shop has stopped.",
        ),
        "low": (
            "There is really no hurry with this.",
            "Please do not hurry, it can wait.",
            "This is not an urgent matter.",
            "Just answer when you have time.",
            "I have time until next month.",
        ),
        "normal": (
            "I would be happy about an answer this week.",
            "Please check it in the next few days.",
            "A reply soon would be nice.",
        ),
    },
)

GERMAN = Book(
    greetings=("Hallo Support,", "Liebes Serviceteam,", "Grüß Gott,"),
    intros=(
        "Man nennt mich {name}.",
        "Sie haben mich als {name} gespeichert.",
        "Hallo von {name}.",
        "Mein Name: {name}.",
        "Ich bin Ihre Kundin {name}.",
    ),
    signoffs=(
        "Herzlichst\n{name}",
        "Viele Grüße von {name}",
        "Nochmals danke\n{name}",
        "Ihr Kunde\n{name}",
    ),
    refs=(
        "Es hat die Vorgangsnummer {ref}.",
        "Meine Referenz: {ref}.",
        "Das von mir eröffnete Ticket ist {ref}.",
        "Man gab mir {ref} als Ticketnummer.",
        "Bitte sehen Sie unter der Referenz {ref} nach.",
    ),
    both=(
        "Ich bin {name}, Ticketnummer {ref}.",
        "Kundenname {name}, Referenznummer {ref}.",
        "Mein Fall ist {ref} und mein Name ist {name}.",
    ),
    heads=(
        "Wegen meines Tickets {ref}: {problem}.",
        "Betreff: Referenz {ref}\n{problem}.",
        "{problem}, mein Vorgang ist {ref}.",
    ),
    distractors=(
        "Ihr Kollege, {person}, hat die Unterlagen gesehen.",
        "Mein Bruder {person} half mir beim Schreiben.",
        "Am {date} sprach ich mit {person} von der Hotline.",
        "Überwiesen habe ich Ihnen {amount}.",
        "Gekauft wurde es am {date}.",
        "Mein Handy: {phone}.",
        "Die Nummer der Bestellung ist {order}.",
    ),
    closings=("Danke für alles.", "Ich warte auf Ihre Antwort."),
    problems={
        "billing": (
            "Ich habe einen Fehler in der Rechnung vom letzten Monat gefunden",
            "Sie haben mir alles doppelt berechnet",
            "Die Rechnung ist viel zu hoch",
            "Mir wurde ein Dienst berechnet, den ich nicht nutze",
            "Bitte schicken Sie die Rechnung neu, der Preis ist falsch",
        ),
        "delivery": (
            "Das bestellte Paket kam nie an",
            "Meine Sendung ist wieder verspätet",
            "Der Fahrer hat das Paket bei jemand anderem abgegeben",
            "Ich frage mich, wo meine Lieferung bleibt",
            "Der Kurier hat unser Paket verloren",
        ),
        "login": (
            "Ich sehe ständig den Fehler falsches Passwort",
            "Mein Login funktioniert nicht mehr",
            "Bitte entsperren Sie mein Benutzerkonto",
            "Das Anmelden im Portal ist nicht möglich",
            "Mein Kennwort habe ich vergessen",
        ),
        "refund": (
            "Bitte geben Sie mir mein Geld zurück",
            "Noch immer warte ich auf die Erstattung",
            "Nach der Retoure bekam ich keine Erstattung",
            "Ich will den Betrag erstattet haben",
            "Meine Rückzahlung ist zu niedrig",
        ),
        "defect": (
            "Meine Maschine ist beschädigt und brummt laut",
            "Der Bildschirm von meinem Handy ist gesprungen",
            "Das Produkt geht nicht und ist defekt",
            "Das neue Gerät kam kaputt an",
            "Ich möchte, dass Sie den kaputten Drucker reparieren",
        ),
        "cancellation": (
            "Ich hätte meine Mitgliedschaft gern gekündigt",
            "Bitte beenden Sie diesen Vertrag",
            "Ich will den Tarif jetzt kündigen",
            "Meine Kündigung des Abos wurde nicht bestätigt",
            "Den Vertrag mit Ihnen möchte ich kündigen",
        ),
    },
    priorities={
        "high": (
            "Bitte schnell, es ist dringend.",
            "Ich brauche sofort eine Lösung dafür.",
            "Es ist ein Notfall, bitte helfen Sie jetzt.",
            "Das kann nicht warten.",
            "Bitte rufen Sie heute an, unser Laden steht still.",
        ),
        "low": (
            "Es eilt damit wirklich nicht.",
            "Bitte keine Eile, es kann warten.",
            "Das ist keine dringende Sache.",
            "Antworten Sie einfach, wenn Sie Zeit haben.",
            "Ich habe bis nächsten Monat Zeit.",
        ),
        "normal": (
            "Ich hoffe diese Woche auf eine Antwort.",
            "Bitte prüfen Sie es in den nächsten Tagen.",
            "Eine Antwort demnächst wäre schön.",
        ),
    },
)

BOOKS = {"en": ENGLISH, "de": GERMAN}

GIVEN = (
    "Arthur Brigitte Cedric Dorothea Elliot Frieda Graham Heike Isaac Jolanda Kevin Lotte Magnus Nadine "
    "Oswald Pauline Quentin Ruth Stefan Tamara Uwe Valerie Wendy Xaver Yvonne"
).split()
FAMILY = (
    "Abbott Brandt Crawford Drexler Eastwood Förster Griffin Huber Iverson Jansen Keller Lowell Maurer "
    "Nolan Ostermann Prescott Quandt Ramsey Seidel Tucker Ullmann Voss Winkler Yates Zeller"
).split()
