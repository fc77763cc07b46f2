"""The Kubernetes manifests hold together, and with the program: what .ci/conformance's schemas cannot know."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

PROGRAM = os.environ["UNSPRAWL_BINARY"]
FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"


def objects(*kinds):
    found = [thing for file in sorted(FOLDER.glob("*.yaml")) for thing in yaml.safe_load_all(file.read_text())]
    return [thing for thing in found if not kinds or thing["kind"] in kinds]


def named(kind, name):
    (found,) = [thing for thing in objects(kind) if thing["metadata"]["name"] == name]
    return found


def template(workload):
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]


def selects(selector, labels):
    wanted = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(rule["operator"] == "In" and labels.get(rule["key"]) in rule["values"]
               for rule in selector.get("matchExpressions", []))


class Kubernetes(unittest.TestCase):
    def setUp(self):
        self.workloads = {thing["metadata"]["name"]: thing for thing in objects("StatefulSet", "Deployment", "CronJob")}
        self.assertEqual(set(self.workloads), {"coordinator", "worker", "extra-worker", "nightly"})
        self.labels = {name: template(thing)["metadata"]["labels"] for name, thing in self.workloads.items()}

    def test_kustomization_names_every_file_image_and_no_other(self):
        (customization,) = objects("Kustomization")
        files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
        self.assertEqual(set(customization["resources"]), files)
        for generator in customization["configMapGenerator"]:
            for file in generator["files"]:
                self.assertTrue((FOLDER / file).is_file(), file)
        images = {template(thing)["spec"]["containers"][0]["image"] for thing in self.workloads.values()}
        self.assertEqual({image["name"] for image in customization["images"]}, images)
        for image in images:  # Each is built by a file of its own.
            self.assertTrue((FOLDER.parent / f"Containerfile.{image.removeprefix('unsprawl-')}").is_file(), image)

    def test_every_container_is_closed_and_bounded(self):
        for name, thing in self.workloads.items():
            pod = template(thing)["spec"]
            self.assertFalse(pod["automountServiceAccountToken"], name)
            security = pod["securityContext"]
            self.assertTrue(security["runAsNonRoot"] and security["runAsUser"] > 0, name)
            self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"}, name)
            for container in pod["containers"]:
                own = container["securityContext"]
                self.assertTrue(own["readOnlyRootFilesystem"], name)
                self.assertFalse(own["allowPrivilegeEscalation"], name)
                self.assertEqual(own["capabilities"], {"drop": ["ALL"]}, name)
                for what in ("requests", "limits"):
                    self.assertEqual(set(container["resources"][what]), {"cpu", "memory", "ephemeral-storage"}, name)

    def test_every_volume_is_there_and_secrets_are_private(self):
        for name, thing in self.workloads.items():
            pod = template(thing)["spec"]
            claims = {claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])}
            mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
            self.assertEqual(mounted, claims | {volume["name"] for volume in pod["volumes"]}, name)
            for volume in pod["volumes"]:
                if "secret" in volume:  # with fsGroup root's and 0440: what engine/base/private_file.h takes
                    self.assertEqual(volume["secret"]["defaultMode"], 0o400, name)
                    self.assertEqual(pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsGroup"], name)

    def test_the_program_knows_every_argument(self):
        for name, thing in self.workloads.items():
            command, *options = template(thing)["spec"]["containers"][0]["args"]
            text = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, check=True).stdout
            known = set(re.findall(r"--[a-z-]+", text))
            for option in options:
                self.assertRegex(option, r"^--", name)
                self.assertIn(option.partition("=")[0], known, name)

    def test_files_that_the_program_is_given_are_mounted(self):
        given = re.findall(r'"(/[^"]+)"', (FOLDER / "coordinator.toml").read_text())
        self.assertGreater(len(given), 3)
        for name, thing in self.workloads.items():
            container = template(thing)["spec"]["containers"][0]
            files = [option.partition("=")[2] for option in container["args"] if "=/" in option]
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            for file in files + (given if name == "coordinator" else []):
                self.assertTrue(any(file == mount or file.startswith(f"{mount}/") for mount in mounts), file)

    def test_a_coordinator_starts_with_its_arguments_and_configuration(self):
        """In a folder instead of /, with plain loopback instead of certificates."""
        with tempfile.TemporaryDirectory() as folder:
            for part in ("var/lib/unsprawl", "etc/unsprawl/secrets", "etc/unsprawl/config"):
                os.makedirs(f"{folder}/{part}")
            for file, text in (("unsprawl-key", "7" * 64), ("github-token", "a-token")):
                path = pathlib.Path(folder, "etc/unsprawl/secrets", file)
                path.write_text(text)
                path.chmod(0o600)
            config = pathlib.Path(folder, "etc/unsprawl/config/coordinator.toml")
            config.write_text((FOLDER / "coordinator.toml").read_text().replace('"/', f'"{folder}/'))
            process = subprocess.Popen([PROGRAM, "coordinator", f"--config={config}", "--listen=127.0.0.1:0"],
                                       stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": folder})
            line = process.stderr.readline()
            process.terminate()
            rest = process.communicate(timeout=60)[1]
            self.assertIn("event=serving", line, rest)
            self.assertEqual(process.returncode, 0, rest)

    def test_scanners_together_stay_below_the_limit_of_memory(self):
        def gib(text):
            return int(re.fullmatch(r"(\d+)GiB?", text).group(1))

        for name in ("worker", "extra-worker"):
            workload = self.workloads[name]
            container = template(workload)["spec"]["containers"][0]
            options = dict(option.partition("=")[::2] for option in container["args"])
            self.assertLess(int(options["--jobs"]) * gib(options["--memory-limit"]),
                            gib(container["resources"]["limits"]["memory"]))
            self.assertEqual(options["--jobs"], container["resources"]["limits"]["cpu"])
            (claim,) = workload["spec"].get("volumeClaimTemplates") or [
                volume["ephemeral"]["volumeClaimTemplate"] for volume in template(workload)["spec"]["volumes"]
                if "ephemeral" in volume]
            self.assertLess(gib(options["--mirrors-budget"]), gib(claim["spec"]["resources"]["requests"]["storage"]))

    def test_services_and_budgets_select_their_pods_alone(self):
        for thing in objects("Service", "PodDisruptionBudget"):
            selector = thing["spec"]["selector"]
            selector = selector if thing["kind"] == "PodDisruptionBudget" else {"matchLabels": selector}
            name = thing["metadata"]["name"]
            self.assertEqual([other for other, labels in self.labels.items() if selects(selector, labels)], [name])

    def reached(self, direction, peer):
        """{(from, to, port)} that the policies allow between our pods, seen from one side."""
        allowed = set()
        for policy in objects("NetworkPolicy"):
            for name, labels in self.labels.items():
                if not selects(policy["spec"]["podSelector"], labels):
                    continue
                for rule in policy["spec"].get(direction, []):
                    for end in rule[peer]:
                        for other, others in self.labels.items():
                            if "podSelector" in end and selects(end["podSelector"], others):
                                ends = (other, name) if direction == "ingress" else (name, other)
                                allowed |= {(*ends, port["port"]) for port in rule["ports"]}
        return allowed

    def test_only_workers_and_admins_reach_the_coordinator_and_nothing_else_of_ours(self):
        wanted = {(name, "coordinator", 7077) for name in ("worker", "extra-worker", "nightly")}
        self.assertEqual(self.reached("ingress", "from"), wanted)
        self.assertEqual(self.reached("egress", "to"), wanted)
        deny = named("NetworkPolicy", "default-deny")["spec"]
        self.assertEqual((deny["podSelector"], set(deny["policyTypes"]), len(deny)), ({}, {"Ingress", "Egress"}, 2))

    def test_admins_and_names_lead_to_nowhere_outside(self):
        outside = [policy["metadata"]["name"] for policy in objects("NetworkPolicy")
                   if "ipBlock" in yaml.safe_dump(policy)]
        self.assertEqual(outside, ["coordinator", "worker"])


if __name__ == "__main__":
    unittest.main()
