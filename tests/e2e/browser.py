"""A headless Chromium on one of the rig's hosts. This file is also the program that drives it there: one JSON object a line says what to
do, one line is the answer, so that the test itself may stay outside the namespace."""
import base64
import json
import os
import subprocess
import sys

from network import wait_for

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1")


class Browser:
    count = 0

    def __init__(self, rig, host, width, height, dark=False):
        Browser.count += 1
        home = os.path.join(rig.home, f"browser{Browser.count}")
        os.makedirs(home)
        env = dict(os.environ, HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home, TMPDIR=home, LANG="C.UTF-8")
        self.child = rig.host_popen(host, ["/usr/bin/python3", os.path.abspath(__file__), str(width), str(height), str(int(dark)), home],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def order(self, what, **more):
        self.child.stdin.write(json.dumps(dict(more, what=what)) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, url):
        self.order("open", url=url)

    def script(self, text):
        """What `text`, the body of a function, gives back."""
        return self.order("script", text=text)

    def text(self, selector):
        return self.script(f"return document.querySelector({json.dumps(selector)}).innerText")

    def texts(self, selector):
        return self.script(f"return [...document.querySelectorAll({json.dumps(selector)})].map((e) => e.innerText)")

    def wait_text(self, selector, condition, timeout):
        return wait_for(f"{selector} says so", lambda: (lambda t: t if condition(t) else None)(self.text(selector)), timeout, 0.05)

    def picture(self, path):
        """The whole page, however long it is."""
        data = base64.b64decode(self.order("picture"))
        with open(path, "wb") as f:
            f.write(data)

    def complaints(self):
        """What the console has been told since the last call: errors of scripts, of the policy, of the network."""
        return self.order("log")

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=20)


def start(width, height, dark, home):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS, f"--window-size={width},{height}", f"--user-data-dir={home}/profile"):
        options.add_argument(argument)
    if width < 600:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2}})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return driver


def carry_out(driver, order):
    what = order["what"]
    if what == "open":
        return driver.get(order["url"])
    if what == "script":
        return driver.execute_script(order["text"])
    if what == "log":
        return driver.get_log("browser")
    size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    return driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})["data"]


def main():
    width, height, dark, home = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4]
    driver = start(width, height, dark, home)
    try:
        for line in sys.stdin:
            try:
                answer = {"value": carry_out(driver, json.loads(line))}
            except Exception as error:  # the test is told, whatever it was
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
