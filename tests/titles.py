"""Titles that a figure must letter, whatever is in them."""

from hypothesis import strategies as st

LONG = (
    "Der Wanderer über dem Nebelmeer, after Caspar David Friedrich, oil on canvas, 1818, "
    "Hamburger Kunsthalle"
)
UNBROKEN = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 3
FOREIGN = "富嶽三十六景 神奈川沖浪裏 🌊\ufe0f الفن \ud800 \x00 a\u0301\u0301\u0301 Ầ ∫ ﷽"

titles = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="aijlmWQ._-/ ", max_size=300),
    st.sampled_from(["", "equal", LONG, UNBROKEN, FOREIGN, LONG * 5]),
)
