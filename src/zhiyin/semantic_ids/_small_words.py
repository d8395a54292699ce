"""Words that say nothing of what a thing is, in the languages of titles that are most common."""

from __future__ import annotations

TEXT = """
a aan aber about after agli al algo all alla alle allo als also am an anche and any ao aos are as at até au auf
aus aux avec be been before bei beim bij bis but by can ce ces cette che ci com como con cual cui da dal dalla dan
dans das dass dat de degli dei del dele della delle dem den der des desde di die dit do does donde dos du e een
ein eine einem einen einer eines el ela ele ella elle ellos em en entre er era eres es esa ese eso essa esse est
esta este et eu eux foi for from fue für gli ha had has hasta have hay he heb her here het hij him his hoe how hun
i ich if ihr ik il ils im in into io is isso ist it its je just já kan l la las le lei les let leur lo los lui ma
maar mais mas may me mesmo met meu mi mijn mit more most muy my más na naar nach nada nas ne nei nel nella nem ni
nicht niet no noch nog non nor nos not nous nu nur não o ob oder of off om on onder only ons ook op or os other ou
our out over own où par para pas pela pelo per pero più por porque pour qu quando que quem qui s sa sans se sem
ses seu she si sich sie sind so sobre some sono su sua such sul sulla suo sur sus são só t ta también também te
tem tes than that the their them then there these they this those to toi too tot tu uit um uma un una unas und
under une uno unos uns up us veel very você vom von voor vor vos votre vous was wat we wel were what when where
which who whom whose why wie will wir with without y ya you your zijn zo zonder zu zum zur
"""
SMALL = frozenset(TEXT.split())
"""Articles, prepositions, pronouns and their kin in English, German, French, Spanish, Italian, Portuguese and Dutch,
but for those that name a thing in English (hat, van, door, ...)."""
